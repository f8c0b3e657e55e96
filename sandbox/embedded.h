// Files that travel inside the binary: what guests are started from and load.
#pragma once

#include <string_view>

namespace proctor {

std::string_view zygote_source();  // guest/zygote.py
std::string_view child_library();  // child.cpp and guest/live.cpp as a shared object
std::string_view init_program();   // guest/init.c

}  // namespace proctor
