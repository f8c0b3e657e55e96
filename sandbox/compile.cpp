// C and C++: compiled in one sandboxed run, executed in another, with the binary kept by content so
// that the same program is compiled once. Blind spot: a compiler that is upgraded while we run.
#include <elf.h>

#include <algorithm>
#include <cstddef>
#include <string_view>

#include "runtime/core/determinism.h"
#include "sandbox/pool.h"

namespace proctor {
namespace {

constexpr std::size_t kMostCached = 256 << 20;  // bytes of binaries and sources

// An ELF file of a kind that is started (objects, text and nothing at all come of some flags).
bool is_program(std::string_view binary) {
  constexpr std::size_t kType = offsetof(Elf64_Ehdr, e_type);
  if (binary.size() < sizeof(Elf64_Ehdr) || !binary.starts_with(ELFMAG)) return false;
  const auto type = binary[kType];
  return type == ET_EXEC || type == ET_DYN;
}

}  // namespace

struct Core::Compiled {
  std::uint64_t hash;
  std::string key;  // compared whole: the hash alone could be made to collide
  std::shared_ptr<const std::string> binary;
};

Async<Result<Execution>> Core::compile_and_run(ExecutionRequest request) {
  const bool c = request.language == Language::c;
  const LanguageInfo& language = info_of(request.language);
  if (auto installed = check_installed(language); !installed)
    co_return std::move(installed).error();
  std::vector<std::string> flags = request.compiler_flags;
  if (flags.empty()) flags = {c ? "-std=gnu17" : "-std=gnu++20", "-O1"};
  std::string key = language.program;
  for (const auto& flag : flags) key += '\0' + flag;
  key += '\0' + request.code;
  for (const auto& [name, bytes] : request.files) {
    key += '\0' + name + '\0';
    key += std::to_string(bytes.size()) + '\0' + bytes;
  }
  const std::uint64_t hash = hash64(key);

  std::shared_ptr<const Compiled> compiled;
  const auto found = std::find_if(compiled_.begin(), compiled_.end(), [&](const auto& each) {
    return each->hash == hash && each->key == key;
  });
  if (found != compiled_.end()) {
    compiled = *found;
    compiled_.erase(found);
    compiled_.push_front(compiled);
  } else {
    Program program;
    program.code = request.code;
    program.code_file = language.file;
    program.files = request.files;
    program.arguments = {language.program};
    program.arguments.insert(program.arguments.end(), flags.begin(), flags.end());
    for (const char* argument : {"-I.", "-fmax-errors=20", "-o", "../code/main"})
      program.arguments.emplace_back(argument);
    program.arguments.push_back(from_work(program.code_file));
    for (const char* argument : {"-lm", "-pthread"}) program.arguments.emplace_back(argument);
    program.fetch = "code/main";
    // A compiler needs more than most programs may have, and is held to limits all the same.
    program.limits = request.limits;
    program.limits.network.clear();
    program.limits.cpu = std::max<Milliseconds>(program.limits.cpu, 30s);
    program.limits.wall = std::max<Milliseconds>(program.limits.wall, 60s);
    program.limits.memory = std::max(program.limits.memory, 1024_MiB);
    program.limits.file = std::max(program.limits.file, 64_MiB);
    program.limits.disk = std::max(program.limits.disk, 256_MiB);
    program.limits.inodes = std::max(program.limits.inodes, 16384);
    program.limits.processes = std::max(program.limits.processes, 32);
    program.limits.open_files = std::max(program.limits.open_files, 256);
    program.limits.output = std::max(program.limits.output, 1_MiB);
    std::string binary;
    auto work = run_program(std::move(program), &binary);
    auto ran = co_await std::move(work);
    if (!ran) co_return std::move(ran).error();
    if (ran->ending == Ending::sandbox_error) co_return ran;
    if (ran->ending != Ending::ok) {
      if (ran->ending != Ending::nonzero_exit)
        ran->error = std::string("the compiler ended with ") + to_string(ran->ending);
      ran->ending = Ending::compile_error;
      co_return ran;
    }
    if (!is_program(binary)) {
      ran->error = "the compiler made no program that can be run: see its flags";
      ran->ending = Ending::compile_error;
      co_return ran;
    }
    Compiled fresh{hash, std::move(key), std::make_shared<const std::string>(std::move(binary))};
    compiled = std::make_shared<const Compiled>(std::move(fresh));
    compiled_.push_front(compiled);
    compiled_bytes_ += compiled->binary->size() + compiled->key.size();
    while (compiled_bytes_ > kMostCached && compiled_.size() > 1) {
      compiled_bytes_ -= compiled_.back()->binary->size() + compiled_.back()->key.size();
      compiled_.pop_back();
    }
  }

  constexpr std::int64_t kFolders = 64 << 10;  // what an empty workspace takes at most
  if (const auto size = static_cast<std::int64_t>(compiled->binary->size());
      size + kFolders > count(request.limits.disk)) {
    Execution ended =
        failure("the program compiled is " + std::to_string(size) +
                " bytes, more than the workspace's " + std::to_string(count(request.limits.disk)));
    ended.ending = Ending::file_limit;
    co_return ended;
  }
  Program program;
  program.code = *compiled->binary;
  program.code_file = "code/main";
  program.code_executable = true;
  program.arguments = {"../code/main"};
  program.arguments.insert(program.arguments.end(), request.arguments.begin(),
                           request.arguments.end());
  program.input = std::move(request.input);
  program.files = std::move(request.files);
  program.get = std::move(request.get);
  program.limits = request.limits;
  auto work = run_program(std::move(program), nullptr);
  co_return co_await std::move(work);
}

}  // namespace proctor
