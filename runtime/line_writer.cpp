// Not synced to the disk: what it writes can be written again from the store.
#include "runtime/line_writer.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace proctor {

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
    if (!in_place && std::filesystem::is_symlink(path, ignored))
      if (auto target = std::filesystem::weakly_canonical(path, ignored); !ignored)
        writer.path_ = target.string();
    if (!in_place) writer.temporary_ = writer.path_ + ".part" + std::to_string(::getpid());
    writer.file_.reset(std::fopen((in_place ? path : writer.temporary_).c_str(), "wbe"));
    if (!writer.file_) {
      const int reason = errno;
      writer.temporary_.clear();
      return bad_input(path + ": cannot be written: " + std::strerror(reason));
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
  std::string place = path_ + (temporary_.empty() ? "" : ".partial");
  if (auto closed = close_at(place); !closed) return std::move(closed).error();
  return place;
}

Status LineWriter::close_at(const std::string& place) {
  if (zstd_)
    if (auto done = put("", ZSTD_e_end); !done) return done;
  if (std::fflush(file_.get()) != 0) return failed(errno);
  if (temporary_.empty()) return {};
  if (std::fclose(file_.release()) != 0) return failed(errno);
  if (std::rename(temporary_.c_str(), place.c_str()) != 0) return failed(errno);
  temporary_.clear();
  return {};
}

}  // namespace proctor
