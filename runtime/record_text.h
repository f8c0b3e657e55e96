// Records as the store keeps them: JSON text, compressed with zstd where that pays.
//
// Not thread-safe: each thread that packs or unpacks has one of its own (the contexts are reused,
// since making one costs more than compressing a record).
#pragma once

#include <zstd.h>

#include <memory>
#include <string>
#include <string_view>

#include "runtime/core/result.h"

namespace proctor {

class RecordPacker {
 public:
  RecordPacker();
  // Valid until the next call.
  std::string_view pack(std::string_view text);

 private:
  struct Free {
    void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  };
  std::unique_ptr<ZSTD_CCtx, Free> context_;
  std::string packed_;
};

class RecordUnpacker {
 public:
  RecordUnpacker();
  // The text, packed or not; `bad_input` when the bytes are damaged.
  Result<std::string> unpack(std::string_view bytes);
  // Packed ones carry a checksum, which unpack() looks at.
  static bool is_packed(std::string_view bytes);

 private:
  struct Free {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  };
  std::unique_ptr<ZSTD_DCtx, Free> context_;
};

}  // namespace proctor
