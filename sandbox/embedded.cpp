// Puts what guests load into the binary, so that nothing has to be found at run time.
#include "sandbox/embedded.h"

#define EMBED(symbol, file)                                                                     \
  __asm__(                                                                                      \
      ".pushsection .rodata\n"                                                                  \
      ".global " #symbol "_begin\n.global " #symbol "_end\n" #symbol "_begin:\n.incbin \"" file \
      "\"\n" #symbol                                                                            \
      "_end:\n"                                                                                 \
      ".popsection\n");                                                                         \
  extern "C" const char symbol##_begin[], symbol##_end[];

EMBED(proctor_zygote_py, PROCTOR_ZYGOTE_PY)
EMBED(proctor_child_so, PROCTOR_CHILD_SO)
EMBED(proctor_init, PROCTOR_INIT)

namespace proctor {

std::string_view zygote_source() {
  return {proctor_zygote_py_begin,
          static_cast<std::size_t>(proctor_zygote_py_end - proctor_zygote_py_begin)};
}
std::string_view child_library() {
  return {proctor_child_so_begin,
          static_cast<std::size_t>(proctor_child_so_end - proctor_child_so_begin)};
}
std::string_view init_program() {
  return {proctor_init_begin, static_cast<std::size_t>(proctor_init_end - proctor_init_begin)};
}

}  // namespace proctor
