// Made when first asked for.
#include "runtime/judges.h"

#include <iostream>

namespace proctor {

std::shared_ptr<Judge> Judges::of(const std::string& role) {
  ModelRef model = models_.get(role);
  if (!model) return nullptr;
  std::lock_guard lock(mutex_);
  if (!models_.given(role) && told_.insert(role).second)
    std::cerr << "proctor: no model for the role " << role << " was given; policy's is used\n";
  auto& judge = judges_[model];
  if (!judge) judge = std::make_shared<Judge>(model);
  return judge;
}

}  // namespace proctor
