// JSON lines to a file, a zstd-compressed file (".zst"), or stdout ("-").
//
// A file is written beside its place (PATH.proctor-part-PID-N) and renamed on close, so that
// readers never see half of it. It is locked meanwhile: what a killed process left is known by
// having no lock, and goes when the same path is written next.
#pragma once

#include <zstd.h>

#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

#include "runtime/core/result.h"

namespace proctor {

// Whether the name says that such a file is meant: .jsonl, .jsonl.zst, - or a device's.
bool is_lines_name(std::string_view path);

class LineWriter {
 public:
  static Result<LineWriter> open(const std::string& path);  // removes what killed processes left
  LineWriter(LineWriter&& other) noexcept = default;
  LineWriter& operator=(LineWriter&& other) noexcept = default;
  // Without a close() before, the file is dropped.
  ~LineWriter();

  Status write(std::string_view line);
  // Puts the file in its place, through a symbolic link into what it points at.
  Status close();
  // The place stays as it was; what is written so far becomes PATH.partial, or the next free of
  // PATH.partial-2, ... Gives back the name of where it is (the path itself where that is no file:
  // a pipe, stdout); an empty one where there was nothing to keep.
  Result<std::string> close_as_partial();
  // Takes away what close_as_partial() kept of this path.
  void remove_partials() const;
  std::size_t lines() const { return lines_; }

 private:
  struct CloseFile {
    void operator()(std::FILE* file) const {
      if (file != stdout) std::fclose(file);
    }
  };
  struct FreeContext {
    void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  };
  LineWriter() = default;
  // Makes temporary_ and gives back its descriptor; negative, with errno, where that fails.
  int open_temporary();
  Status put(std::string_view bytes, ZSTD_EndDirective mode);
  Status close_at(const std::string& place);
  Error failed(int system_error) const;

  std::string path_, temporary_;  // no temporary: written to as it is, or in its place
  bool replaces_ = false;         // whether there was one
  std::unique_ptr<std::FILE, CloseFile> file_;
  std::unique_ptr<ZSTD_CCtx, FreeContext> zstd_;
  std::size_t lines_ = 0;
};

}  // namespace proctor
