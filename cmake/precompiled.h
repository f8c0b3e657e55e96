// What nearly every file includes, for PROCTOR_PCH. Files still include what they use themselves.
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/ip/tcp.hpp>
#include <boost/json.hpp>
#include <fmt/format.h>

#include "runtime/core/async.h"
#include "runtime/core/nursery.h"
#include "runtime/core/records.h"
