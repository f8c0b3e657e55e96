// Not synced to the disk: what it writes can be written again from the store.
#include "runtime/line_writer.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace proctor {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPart = ".proctor-part-";  // then the process and a number

// What processes that were killed began to write under this name. One at work has the lock.
void remove_left_parts(const fs::path& final_name) {
  const std::string beginning = final_name.filename().string() + kPart;
  std::error_code ignored;
  const fs::path above = final_name.has_parent_path() ? final_name.parent_path() : ".";
  for (const auto& entry : fs::directory_iterator(above, ignored)) {
    if (!entry.path().filename().string().starts_with(beginning)) continue;
    const int file = ::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (file < 0) continue;
    if (entry.is_regular_file(ignored) && ::flock(file, LOCK_EX | LOCK_NB) == 0)
      ::unlink(entry.path().c_str());
    ::close(file);
  }
}

// What a symbolic link points at in the end, which need not be there.
fs::path behind_links(fs::path place) {
  constexpr int kMostLinks = 40;
  std::error_code ignored;
  for (int n = 0; n < kMostLinks && fs::is_symlink(place, ignored); ++n)
    place = place.parent_path() / fs::read_symlink(place, ignored);
  return place;
}

// False when somebody who looked for what is left has taken it away before it was locked.
bool lock_and_keep(int file) {
  struct stat state{};
  if (::flock(file, LOCK_EX | LOCK_NB) != 0) return errno != EWOULDBLOCK;  // or there are no locks
  return ::fstat(file, &state) != 0 || state.st_nlink > 0;
}

std::string partial_name(const std::string& path, int n) {
  return path + ".partial" + (n == 1 ? "" : "-" + std::to_string(n));
}

}  // namespace

bool is_lines_name(std::string_view path) {
  return path == "-" || path.ends_with(".jsonl") || path.ends_with(".jsonl.zst") ||
         path.starts_with("/dev/");
}

int LineWriter::open_temporary() {
  for (int n = 0;; ++n) {
    temporary_ = path_ + kPart + std::to_string(::getpid()) + "-" + std::to_string(n);
    const int file = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file < 0 && errno == EEXIST) continue;
    if (file < 0 || lock_and_keep(file)) return file;
    ::close(file);
  }
}

Result<LineWriter> LineWriter::open(const std::string& path) {
  LineWriter writer;
  writer.path_ = path;
  if (path == "-") {
    writer.file_.reset(stdout);
  } else {
    // A pipe or /dev/null is written to, not replaced.
    std::error_code ignored;
    const bool in_place =
        std::filesystem::exists(path, ignored) && !std::filesystem::is_regular_file(path, ignored);
    writer.replaces_ = !in_place;
    if (!in_place) writer.path_ = behind_links(path).string();
    if (!in_place) remove_left_parts(writer.path_);
    const int file = in_place ? ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)
                              : writer.open_temporary();
    if (file >= 0) writer.file_.reset(::fdopen(file, "wb"));
    if (!writer.file_) {
      const int reason = errno;
      writer.temporary_.clear();
      return internal_error(path + ": cannot be written: " + std::strerror(reason));
    }
  }
  if (path.ends_with(".zst")) {
    writer.zstd_.reset(ZSTD_createCCtx());
    ZSTD_CCtx_setParameter(writer.zstd_.get(), ZSTD_c_compressionLevel, 3);
  }
  return writer;
}

LineWriter::~LineWriter() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

Error LineWriter::failed(int system_error) const {
  return internal_error((path_ == "-" ? "stdout" : path_) +
                        ": cannot be written: " + std::strerror(system_error));
}

Status LineWriter::put(std::string_view bytes, ZSTD_EndDirective mode) {
  if (!zstd_) {
    if (std::fwrite(bytes.data(), 1, bytes.size(), file_.get()) != bytes.size())
      return failed(errno);
    return {};
  }
  char buffer[1 << 16];
  ZSTD_inBuffer input{bytes.data(), bytes.size(), 0};
  for (;;) {
    ZSTD_outBuffer output{buffer, sizeof buffer, 0};
    const std::size_t left = ZSTD_compressStream2(zstd_.get(), &output, &input, mode);
    if (ZSTD_isError(left)) return internal_error(path_ + ": zstd: " + ZSTD_getErrorName(left));
    if (output.pos > 0 && std::fwrite(buffer, 1, output.pos, file_.get()) != output.pos)
      return failed(errno);
    if (mode == ZSTD_e_end ? left == 0 : input.pos == input.size) return {};
  }
}

Status LineWriter::write(std::string_view line) {
  ++lines_;
  if (auto done = put(line, ZSTD_e_continue); !done) return done;
  return put("\n", ZSTD_e_continue);
}

Status LineWriter::close() { return close_at(path_); }

Result<std::string> LineWriter::close_as_partial() {
  std::string place = path_;
  if (!temporary_.empty()) {
    if (lines_ == 0) return std::string();
    int n = 1;
    for (std::error_code ignored; fs::exists(place = partial_name(path_, n), ignored);) ++n;
  }
  if (auto closed = close_at(place); !closed) return std::move(closed).error();
  return place;
}

void LineWriter::remove_partials() const {
  if (!replaces_) return;
  for (int n = 1; ::unlink(partial_name(path_, n).c_str()) == 0;) ++n;
}

Status LineWriter::close_at(const std::string& place) {
  if (zstd_)
    if (auto done = put("", ZSTD_e_end); !done) return done;
  if (std::fflush(file_.get()) != 0) return failed(errno);
  if (temporary_.empty()) return {};
  // The second descriptor keeps the lock until the file has its name.
  const int locked = ::dup(::fileno(file_.get()));
  int failure = std::fclose(file_.release()) != 0 ? errno : 0;
  if (failure == 0 && std::rename(temporary_.c_str(), place.c_str()) != 0) failure = errno;
  if (locked >= 0) ::close(locked);
  if (failure != 0) return failed(failure);
  temporary_.clear();
  return {};
}

}  // namespace proctor
