// Files of this folder that travel inside the binary.
#pragma once

#include <string_view>

namespace proctor {

std::string_view zygote_source();   // zygote.py
std::string_view zygote_library();  // child.cpp as a shared object

}  // namespace proctor
