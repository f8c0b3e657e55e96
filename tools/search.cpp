// search — finds passages of a corpus by their words.
//
// Small indexes answer on the caller's thread in well under a millisecond; larger ones on the pool.
// Blind spot: words are matched by their stems, meanings are not.
#include <filesystem>

#include "runtime/core/determinism.h"
#include "runtime/core/paths.h"
#include "tools/index.h"
#include "tools/tool.h"

namespace proctor {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMostPostingsInline = 5'000'000;  // a query reads but a part of them
constexpr std::int64_t kMostHits = 100;

// At most `most` characters, cut at a space where there is one near; cut text ends in " ...".
std::string shortened(std::string_view text, std::size_t most) {
  std::size_t end = 0;
  for (std::size_t characters = 0; end < text.size(); ++end) {
    const bool begins_character = (static_cast<unsigned char>(text[end]) & 0xC0) != 0x80;
    if (begins_character && characters++ == most) break;
  }
  if (end == text.size()) return std::string(text);
  const std::size_t space = text.find_last_of(" \n", end);
  if (space != std::string_view::npos && space > end / 2) end = space;
  return std::string(text.substr(0, end)) + " ...";
}

Result<Observation> answer(const SearchIndex& index, const std::string& query, std::size_t k,
                           std::size_t max_chars) {
  Observation observation;
  json::array hits;
  for (const Hit& hit : index.query(query, k)) {
    auto document = index.document(hit.document);
    // Ours, whoever asked: nothing of it is for the policy to read.
    if (!document) return internal_error("search: " + document.error().message);
    observation.content += "Doc " + std::to_string(hits.size() + 1);
    if (!document->title.empty())
      observation.content += " (Title: " + std::string(document->title) + ")";
    observation.content += " " + shortened(document->text, max_chars) + "\n";
    hits.push_back({{"id", document->id}, {"score", hit.score}, {"title", document->title}});
  }
  if (hits.empty()) observation.content = "No document matches. Try other words.";
  observation.data["query"] = query;
  observation.data["hits"] = std::move(hits);
  return observation;
}

class Search final : public Tool {
 public:
  Search(std::shared_ptr<const SearchIndex> index, const Options& options, asio::thread_pool* pool)
      : index_(std::move(index)),
        pool_(pool),
        k_(options.integer("k")),
        max_chars_(static_cast<std::size_t>(options.integer("max_chars"))) {}

  ToolDefinition definition() const override {
    json::object query{{"type", "string"}, {"description", "words to look for"}};
    json::object k{{"type", "integer"},
                   {"description", "how many documents to return"},
                   {"minimum", 1},
                   {"maximum", kMostHits}};
    json::object properties{{"query", std::move(query)}, {"k", std::move(k)}};
    return {.name = "search",
            .description = "Searches a collection of documents and returns the best matches.",
            .parameters = {{"type", "object"},
                           {"properties", std::move(properties)},
                           {"required", json::array{"query"}}}};
  }
  bool pure() const override { return true; }
  bool instant() const override { return index_->facts().postings <= kMostPostingsInline; }

  Async<Result<Observation>> call(ToolCall call, std::shared_ptr<ToolContext>) override {
    Observation refused;
    refused.status = ObservationStatus::error;
    if (auto checked = check_arguments(definition(), call.arguments); !checked) {
      refused.content = checked.error().message;
      co_return refused;
    }
    const std::string query(call.arguments.at("query").as_string());
    if (query.find_first_not_of(" \t\r\n") == std::string::npos) {
      refused.content = "search: the query is empty; give the words to look for";
      co_return refused;
    }
    std::size_t k = static_cast<std::size_t>(k_);
    if (const json::value* asked = call.arguments.if_contains("k"))
      k = static_cast<std::size_t>(asked->to_number<double>());

    const auto began = clock_.steady();
    Result<Observation> observation;
    if (instant() || !pool_) {
      observation = answer(*index_, query, k, max_chars_);
    } else {
      auto work = [index = index_, query, k, max_chars = max_chars_] {
        return answer(*index, query, k, max_chars);
      };
      observation = co_await on_pool(pool_, std::move(work));
    }
    if (!observation) co_return observation;
    observation->usage.wall_ms = to_ms(clock_.steady() - began);
    observation->usage.cpu_ms = observation->usage.wall_ms;  // it computes and never waits
    co_return observation;
  }

 private:
  std::shared_ptr<const SearchIndex> index_;
  asio::thread_pool* pool_;
  std::int64_t k_;
  std::size_t max_chars_;
  Clock clock_;
};

std::vector<OptionInfo> search_options() {
  OptionInfo index{.name = "index", .type = OptionType::text, .fallback = nullptr};
  index.meaning =
      "folder made by `proctor index build`; the dictionary of "
      "the qa suite when left out";
  OptionInfo k{.name = "k", .type = OptionType::integer, .fallback = 3};
  k.meaning = "documents returned when a call does not say how many";
  k.least = 1, k.most = static_cast<double>(kMostHits);
  OptionInfo max_chars{.name = "max_chars", .type = OptionType::integer, .fallback = 1000};
  max_chars.meaning = "characters of each document's text shown to the policy";
  max_chars.least = 20, max_chars.most = 1e6;
  return {index, k, max_chars};
}

Result<ToolRef> make_search(const Options& options, const ToolServices& services) {
  fs::path path = fs::path(data_directory()) / "foldoc" / "index";
  if (options.given("index")) {
    path = options.text("index");
  } else if (std::error_code error; !fs::exists(path, error)) {
    return missing(path.string() +
                   ": the dictionary's index is not there yet; scripts/setup makes it");
  }
  auto index = SearchIndex::open(path.lexically_normal().string());
  if (!index) return std::move(index).error();
  return ToolRef(std::make_shared<Search>(std::move(*index), options, services.pool));
}

REGISTER_TOOL({.name = "search",
               .summary = "finds passages of an indexed corpus by their words",
               .options = search_options()},
              make_search)

}  // namespace
}  // namespace proctor
