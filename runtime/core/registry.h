// Registry<T>: name ─▶ maker, filled by static registrars of the plug-in files.
//
// Plug-in folders are OBJECT libraries: from a static archive the linker silently drops files that
// only register themselves.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/core/config.h"
#include "runtime/core/result.h"

namespace proctor {

// What `proctor supervisors`, `--help`, the config check and the docs know about one plug-in.
struct PluginInfo {
  std::string name;     // as users write it
  std::string summary;  // one line
  std::vector<OptionInfo> options;
  std::vector<std::string> labels;  // "p (trajectory)", "gain (turn)"; empty for other kinds
  std::vector<std::string> roles;   // model roles it calls
};

template <class Maker>
class Registry {
 public:
  struct Entry {
    PluginInfo info;
    Maker make;
  };

  static Registry& instance() {
    static Registry registry;
    return registry;
  }

  // Registering a name twice is a bug.
  void add(PluginInfo info, Maker make) {
    std::string name = info.name;
    const bool fresh = entries_.emplace(name, Entry{std::move(info), std::move(make)}).second;
    PROCTOR_CHECK(fresh);
  }

  const Entry* find(std::string_view name) const {
    auto found = entries_.find(name);
    return found == entries_.end() ? nullptr : &found->second;
  }

  std::vector<std::string> names() const {
    std::vector<std::string> names;
    names.reserve(entries_.size());
    for (const auto& [name, entry] : entries_) names.push_back(name);
    return names;
  }

  // "unknown supervisor 'igop': did you mean 'igpo'?"
  Error unknown(std::string_view kind, std::string_view name) const {
    return bad_input("unknown " + std::string(kind) + " '" + std::string(name) + "'" +
                     nearest_hint(name, names()));
  }

 private:
  std::map<std::string, Entry, std::less<>> entries_;
};

}  // namespace proctor
