// Where things are inside, for both sides of the wall.
#pragma once

namespace proctor {

inline constexpr const char* kBox = "/box";
inline constexpr const char* kLibrary = "/proctor/child.so";
inline constexpr const char* kInit = "/proctor/init";

}  // namespace proctor
