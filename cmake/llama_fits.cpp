// Compiles exactly when an installed libllama has the interface that policies/llama_*.cpp uses.
#include <llama.h>

llama_context* fits(llama_model* model) {
  llama_context_params params = llama_context_default_params();
  params.kv_unified = true;
  params.n_outputs_max = 64;
  params.n_outputs_max_per_seq = 64;
  params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_ENABLED;
  llama_context* context = llama_init_from_model(model, params);
  llama_memory_seq_cp(llama_get_memory(context), 0, 1, 0, -1);
  llama_sampler_free(llama_sampler_init_grammar(llama_model_get_vocab(model), "", "root"));
  return context;
}
