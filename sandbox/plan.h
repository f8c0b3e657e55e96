// What the parent tells the launcher about a slot or the zygote, as JSON on the launcher's socket.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

#include "runtime/core/json.h"
#include "runtime/core/result.h"
#include "sandbox/places.h"

namespace proctor {

// root: namespaces by privilege; userns: inside an unprivileged user namespace; reduced: none.
enum class World { root, userns, reduced };
inline const char* to_string(World world) {
  return world == World::root ? "root" : world == World::userns ? "userns" : "reduced";
}

struct SlotPlan {
  World world = World::root;
  int index = 0;
  std::uint32_t host_uid = 0;      // whom guests are outside (root world, reduced as root); 0: us
  std::vector<std::string> trees;  // shown read-only at the same place, beside the system's own
  // Never shown, though they may lie below what is (but for `trees` of their own): our hidden
  // tests.
  std::vector<std::string> hidden;
  std::string box;  // reduced: the slot's directory
  bool landlock = true;
  std::string child_object;  // where guests find what child.cpp is compiled to
  std::string python;        // zygote: the interpreter
  std::string profile;       // zygote: what it has imported
};

inline std::string write_plan(const SlotPlan& plan) {
  json::object object{{"world", static_cast<int>(plan.world)},
                      {"index", plan.index},
                      {"host_uid", plan.host_uid},
                      {"box", plan.box},
                      {"landlock", plan.landlock},
                      {"child_object", plan.child_object},
                      {"python", plan.python},
                      {"profile", plan.profile}};
  json::array trees, hidden;
  for (const auto& tree : plan.trees) trees.emplace_back(tree);
  for (const auto& tree : plan.hidden) hidden.emplace_back(tree);
  object["trees"] = std::move(trees);
  object["hidden"] = std::move(hidden);
  return json::serialize(object);
}

inline Result<SlotPlan> read_plan(std::string_view text) {
  try {
    const json::object object = json::parse(text).as_object();
    SlotPlan plan;
    const auto world = object.at("world").to_number<int>();
    if (world < 0 || world > static_cast<int>(World::reduced)) throw std::out_of_range("world");
    plan.world = static_cast<World>(world);
    plan.index = object.at("index").to_number<int>();
    plan.host_uid = object.at("host_uid").to_number<std::uint32_t>();
    for (const auto& tree : object.at("trees").as_array())
      plan.trees.emplace_back(tree.as_string());
    for (const auto& tree : object.at("hidden").as_array())
      plan.hidden.emplace_back(tree.as_string());
    plan.box = object.at("box").as_string();
    plan.landlock = object.at("landlock").as_bool();
    plan.child_object = object.at("child_object").as_string();
    plan.python = object.at("python").as_string();
    plan.profile = object.at("profile").as_string();
    return plan;
  } catch (const std::exception& wrong) {
    return internal_error(std::string("a slot's plan: ") + wrong.what());
  }
}

// Whether `path` is `tree` or lies below it; both without a slash at their ends.
inline bool lies_in(const std::string& path, const std::string& tree) {
  return path == tree || path.rfind(tree == "/" ? tree : tree + "/", 0) == 0;
}

// Who root becomes outside, in the world of unprivileged user namespaces.
inline constexpr std::uint32_t kNobody = 65534;
// The devices guests have.
inline constexpr const char* kDevices[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random",
                                           "/dev/urandom"};
inline constexpr std::uint32_t kGuestId = 1000;  // uid and gid inside a run's user namespace

}  // namespace proctor
