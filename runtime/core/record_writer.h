// Records straight to JSON text, without a tree of values between: what the store writes for every
// turn. The text reads back as the value that to_json gives, numbers written as short as they go
// (0.375, where boost's serializer says 3.75E-1).
#pragma once

#include <string>

#include "runtime/core/records.h"

namespace proctor {

// Appends to `out`.
void append_json(std::string& out, const json::value& value);
void append_json(std::string& out, const Turn& turn);
void append_json(std::string& out, const Label& label);
void append_json(std::string& out, const Trajectory& trajectory);

// The same as a text of its own, for all that leaves the program.
std::string json_text(const json::value& value);
std::string json_text(const json::object& object);

}  // namespace proctor
