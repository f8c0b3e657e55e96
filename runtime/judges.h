// The judges of a run or a label command: one a model, however many roles share it.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "policies/judge.h"
#include "policies/model.h"

namespace proctor {

class Judges {
 public:
  // The models outlive it.
  explicit Judges(const Models& models) : models_(models) {}

  // nullptr where neither the role nor a policy was given. Says once, on stderr, when a role falls
  // back to the policy's model. Safe from any thread.
  std::shared_ptr<Judge> of(const std::string& role);

 private:
  const Models& models_;
  std::mutex mutex_;
  std::map<ModelRef, std::shared_ptr<Judge>> judges_;
  std::set<std::string> told_;
};

}  // namespace proctor
