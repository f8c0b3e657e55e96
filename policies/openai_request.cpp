// Requests to OpenAI-compatible servers, written straight into one string: a long conversation is
// sent every turn, and building a JSON tree of it first would cost more than all else here.
#include <fmt/format.h>

#include <cmath>

#include "policies/openai_wire.h"
#include "runtime/core/record_writer.h"

namespace proctor::openai {
namespace {

void append_string(std::string& out, std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  out += '"';
  std::size_t from = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    out.append(text.substr(from, i - from));
    from = i + 1;
    out += '\\';
    switch (c) {
      case '"':
      case '\\':
        out += static_cast<char>(c);
        break;
      case '\n':
        out += 'n';
        break;
      case '\r':
        out += 'r';
        break;
      case '\t':
        out += 't';
        break;
      default:
        out += "u00";
        out += kHex[c >> 4];
        out += kHex[c & 15];
    }
  }
  out.append(text.substr(from));
  out += '"';
}

void append_value(std::string& out, const json::value& value) {
  if (const auto* text = value.if_string())
    append_string(out, *text);
  else
    out += json_text(value);
}

// Writes one object field by field; a key of `extra` takes the place of the same key here.
class Body {
 public:
  explicit Body(json::object extra) : extra_(std::move(extra)) { out_ += '{'; }
  // Space for the key; false when extra_body has it.
  bool key(std::string_view name) {
    if (extra_.contains(name)) return false;
    if (out_.size() > 1) out_ += ',';
    append_string(out_, name);
    out_ += ':';
    return true;
  }
  void text(std::string_view name, std::string_view value) {
    if (key(name)) append_string(out_, value);
  }
  void number(std::string_view name, std::int64_t value) {
    if (key(name)) fmt::format_to(std::back_inserter(out_), "{}", value);
  }
  void number(std::string_view name, double value) {
    if (key(name)) fmt::format_to(std::back_inserter(out_), "{}", value);
  }
  void raw(std::string_view name, std::string_view value) {
    if (key(name)) out_ += value;
  }
  std::string end() && {
    for (const auto& [name, value] : extra_) {
      if (out_.size() > 1) out_ += ',';
      append_string(out_, name);
      out_ += ':';
      append_value(out_, value);
    }
    out_ += '}';
    return std::move(out_);
  }
  std::string& out() { return out_; }

 private:
  const json::object extra_;
  std::string out_;
};

void append_message(std::string& out, const Message& message, bool with_reasoning) {
  out += "{\"role\":";
  append_string(out, message.role);
  out += ",\"content\":";
  append_value(out, message.content);
  if (with_reasoning && message.reasoning) {
    out += ",\"reasoning_content\":";
    append_string(out, *message.reasoning);
  }
  if (message.role == "tool" && !message.tool_call_id.empty()) {
    out += ",\"tool_call_id\":";
    append_string(out, message.tool_call_id);
  }
  if (!message.tool_calls.empty()) {
    out += ",\"tool_calls\":[";
    for (const ToolCall& call : message.tool_calls) {
      if (out.back() != '[') out += ',';
      out += "{\"type\":\"function\",\"id\":";
      append_string(out, call.id);
      out += ",\"function\":{\"name\":";
      append_string(out, call.name);
      out += ",\"arguments\":";
      append_string(out, json_text(call.arguments));
      out += "}}";
    }
    out += ']';
  }
  out += '}';
}

void append_messages(std::string& out, const std::vector<Message>& messages,
                     bool with_reasoning = false) {
  out += '[';
  for (const Message& message : messages) {
    if (&message != &messages.front()) out += ',';
    append_message(out, message, with_reasoning);
  }
  out += ']';
}

void append_tools(std::string& out, const std::vector<ToolDefinition>& tools) {
  out += '[';
  for (const ToolDefinition& tool : tools) {
    if (&tool != &tools.front()) out += ',';
    out += "{\"type\":\"function\",\"function\":{\"name\":";
    append_string(out, tool.name);
    out += ",\"description\":";
    append_string(out, tool.description);
    out += ",\"parameters\":" + json_text(tool.parameters) + "}}";
  }
  out += ']';
}

void write_constraint(Body& body, const GenerateRequest& request, const Wire& wire) {
  if (!request.json_schema.is_null() && body.key("response_format"))
    body.out() += "{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"answer\",\"schema\":" +
                  json_text(request.json_schema) + "}}";
  if (request.grammar.empty()) return;
  switch (wire.dialect) {
    case Dialect::vllm:
      if (!wire.structured_outputs) {
        body.text("guided_grammar", request.grammar);
      } else if (body.key("structured_outputs")) {
        body.out() += "{\"grammar\":";
        append_string(body.out(), request.grammar);
        body.out() += '}';
      }
      break;
    case Dialect::sglang:
      body.text("ebnf", request.grammar);
      break;
    case Dialect::llama_server:
      body.text("grammar", request.grammar);
      break;
    case Dialect::generic:
      break;
  }
}

// All that chat and plain completions have in common.
void write_sampling(Body& body, const GenerateRequest& request, const Wire& wire, bool stream) {
  const Sampling& sampling = request.sampling;
  body.number("temperature", sampling.temperature);
  // What is off is sent as off: servers have defaults of their own, or take them from the model's
  // generation_config, and the record says how was sampled.
  body.number("top_p", sampling.top_p);
  if (wire.dialect != Dialect::generic) {
    body.number("top_k", static_cast<std::int64_t>(sampling.top_k > 0 ? sampling.top_k : -1));
    body.number("min_p", sampling.min_p);
    const bool llama = wire.dialect == Dialect::llama_server;
    body.number(llama ? "repeat_penalty" : "repetition_penalty", 1.0);
  } else {
    if (sampling.top_k > 0) body.number("top_k", static_cast<std::int64_t>(sampling.top_k));
    if (sampling.min_p > 0) body.number("min_p", sampling.min_p);
  }
  // 31 bits, which every server takes.
  body.number("seed", static_cast<std::int64_t>(sampling.seed & 0x7fffffff));
  if (!request.stop.empty() && body.key("stop")) {
    body.out() += '[';
    for (const std::string& stop : request.stop) {
      if (&stop != &request.stop.front()) body.out() += ',';
      append_string(body.out(), stop);
    }
    body.out() += ']';
    if (wire.dialect == Dialect::vllm) body.raw("include_stop_str_in_output", "true");
    if (wire.dialect == Dialect::sglang) body.raw("no_stop_trim", "true");
  }
  if (wire.token_ids && wire.dialect != Dialect::llama_server) body.raw("return_token_ids", "true");
  write_constraint(body, request, wire);
  if (stream) {
    body.raw("stream", "true");
    body.raw("stream_options", "{\"include_usage\":true}");
  }
}

}  // namespace

Status check_extra_body(const json::object& extra) {
  static constexpr std::pair<const char*, const char*> kOwn[] = {
      {"model", "name the model behind '#' in the URI"},
      {"messages", "they are the conversation"},
      {"prompt", "it is the conversation"},
      {"tools", "they are those of the configuration"},
      {"stream", "write the setting `stream`"},
      {"n", "one answer is read; `samples` asks for more"}};
  for (const auto& [name, instead] : kOwn)
    if (const auto* value = extra.if_contains(name); value && !value->is_null())
      return bad_input("extra_body." + std::string(name) + ": proctor sets it itself: " + instead);
  return {};
}

std::string chat_body(const GenerateRequest& request, const Wire& wire, bool stream) {
  Body body(wire.extra_body);
  std::size_t size = 512;
  for (const Message& message : request.messages)
    if (const auto* text = message.content.if_string())
      size += text->size() + text->size() / 16 + 64;
  body.out().reserve(size);
  body.text("model", wire.model);
  // The template decides which reasoning of former turns the model sees again.
  const bool with_reasoning = wire.dialect != Dialect::generic;
  if (body.key("messages")) append_messages(body.out(), request.messages, with_reasoning);
  if (!request.tools.empty() && body.key("tools")) append_tools(body.out(), request.tools);
  body.number(wire.max_completion_tokens ? "max_completion_tokens" : "max_tokens",
              static_cast<std::int64_t>(request.sampling.max_tokens));
  if (wire.logprobs) body.raw("logprobs", "true");
  // Without it llama-server lists twenty alternatives for every token.
  if (wire.logprobs && wire.dialect == Dialect::llama_server) body.raw("top_logprobs", "1");
  write_sampling(body, request, wire, stream);
  return std::move(body).end();
}

std::string completions_body(const GenerateRequest& request,
                             const std::vector<std::int32_t>& prompt, const Wire& wire,
                             bool stream) {
  Body body(wire.extra_body);
  body.out().reserve(512 + prompt.size() * 7);
  body.text("model", wire.model);
  if (body.key("prompt")) body.out() += fmt::format("[{}]", fmt::join(prompt, ","));
  const bool llama = wire.dialect == Dialect::llama_server;  // its own /completion
  body.number(llama ? "n_predict" : "max_tokens",
              static_cast<std::int64_t>(request.sampling.max_tokens));
  if (wire.logprobs) llama ? body.raw("n_probs", "1") : body.raw("logprobs", "0");
  if (wire.token_ids && llama) body.raw("return_tokens", "true");
  write_sampling(body, request, wire, stream);
  return std::move(body).end();
}

std::string tokenize_body(const std::vector<Message>& messages, const Wire& wire,
                          const std::vector<ToolDefinition>& tools) {
  json::object as_in_chats;
  for (const char* name : {"chat_template", "chat_template_kwargs"})
    if (const auto* given = wire.extra_body.if_contains(name)) as_in_chats[name] = *given;
  Body body(as_in_chats);
  body.text("model", wire.model);
  if (body.key("messages")) append_messages(body.out(), messages);
  if (!tools.empty() && body.key("tools")) append_tools(body.out(), tools);
  body.raw("add_generation_prompt", "true");
  return std::move(body).end();
}

std::string tokenize_text_body(const std::string& text, const Wire& wire) {
  Body body(json::object{});
  body.text("model", wire.model);
  if (wire.dialect == Dialect::llama_server) {
    body.text("content", text);
    body.raw("add_special", "true");
    body.raw("parse_special", "true");
  } else {
    body.text("prompt", text);
    body.raw("add_special_tokens", "false");
  }
  return std::move(body).end();
}

}  // namespace proctor::openai
