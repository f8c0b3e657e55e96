// Packed records are known by zstd's magic number, which no JSON text begins with.
#include "runtime/record_text.h"

#include "runtime/core/json.h"

namespace proctor {
namespace {

// Level 1 packs agent records to about a quarter; higher levels cost more CPU than disk is worth.
constexpr int kLevel = 1;
constexpr std::size_t kWorthPacking = 512;
// A record that claims more than this is damaged, not big.
constexpr unsigned long long kMostUnpacked = 4ULL << 30;

}  // namespace

RecordPacker::RecordPacker() : context_(ZSTD_createCCtx()) {
  ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, kLevel);
  ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_checksumFlag, 1);
}

std::string_view RecordPacker::pack(std::string_view text) {
  if (text.size() < kWorthPacking) return text;
  packed_.resize(ZSTD_compressBound(text.size()));
  const std::size_t size =
      ZSTD_compress2(context_.get(), packed_.data(), packed_.size(), text.data(), text.size());
  if (ZSTD_isError(size)) return text;
  return std::string_view(packed_).substr(0, size);
}

bool RecordUnpacker::is_packed(std::string_view bytes) { return bytes.starts_with(kZstdMagic); }

RecordUnpacker::RecordUnpacker() : context_(ZSTD_createDCtx()) {}

Result<std::string> RecordUnpacker::unpack(std::string_view bytes) {
  if (!is_packed(bytes)) {
    if (bytes.starts_with('{') && bytes.ends_with('}')) return std::string(bytes);
    return bad_input("the record's bytes are damaged");
  }
  const auto size = ZSTD_getFrameContentSize(bytes.data(), bytes.size());
  if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN || size > kMostUnpacked)
    return bad_input("the record's bytes are damaged");
  std::string text(size, '\0');
  const std::size_t got =
      ZSTD_decompressDCtx(context_.get(), text.data(), text.size(), bytes.data(), bytes.size());
  if (ZSTD_isError(got) || got != size) return bad_input("the record's bytes are damaged");
  return text;
}

}  // namespace proctor
