// Making a model from its URI, and what a model answers to questions it has no answer to.
//
// Blind spot: nothing is contacted or loaded lazily here; each backend says when it does.
#include "policies/model.h"

#include "runtime/core/registry.h"

namespace proctor {

json::object to_json(const Sampling& sampling) {
  json::object object;
  object["temperature"] = sampling.temperature;
  object["top_p"] = sampling.top_p;
  if (sampling.top_k != 0) object["top_k"] = sampling.top_k;
  if (sampling.min_p != 0) object["min_p"] = sampling.min_p;
  object["seed"] = sampling.seed;
  object["max_tokens"] = sampling.max_tokens;
  return object;
}

Async<Result<Score>> Model::score(ScoreRequest) {
  co_return missing("the model " + name() + " (" + backend() +
                    ") cannot score given text; give --model scorer=llama:... or a vLLM server");
}

Async<Result<std::vector<float>>> Model::embed(std::string) {
  co_return missing("the model " + name() + " (" + backend() +
                    ") cannot embed text; give --model embedder=URI");
}

ModelRef Models::get(const std::string& role) const {
  auto found = models_.find(role);
  if (found == models_.end()) found = models_.find("policy");
  return found == models_.end() ? nullptr : found->second;
}

Result<ModelRef> make_model(const ModelConfig& config) {
  const auto& registry = Registry<ModelMaker>::instance();
  const std::string examples =
      "write llama:smollm2, llama:PATH.gguf, openai:http://HOST:PORT/v1#MODEL or script:FILE.jsonl";
  const std::size_t colon = config.uri.find(':');
  if (colon == std::string::npos)
    return bad_input("model '" + config.uri + "' names no backend: " + examples);
  const std::string scheme = config.uri.substr(0, colon);
  const auto* entry = registry.find(scheme);
  if (!entry && scheme == "llama")
    return missing(
        "model '" + config.uri +
        "': this proctor was built without the embedded model; run scripts/setup and build with "
        "-DPROCTOR_LLAMA=ON");
  if (!entry && (scheme == "http" || scheme == "https"))
    return bad_input("model '" + config.uri + "': write openai:" + config.uri);
  if (!entry)
    return bad_input("model '" + config.uri + "': unknown backend '" + scheme + "'" +
                     nearest_hint(scheme, registry.names()) + "; " + examples);
  auto model = entry->make(config);
  if (!model) return std::move(model).error().in("model '" + config.uri + "'");
  return model;
}

}  // namespace proctor
