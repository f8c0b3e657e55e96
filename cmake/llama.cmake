# Gives the target proctor_llama: policies/llama_model.cpp over libllama.
message(STATUS "the embedded model is not built yet")
