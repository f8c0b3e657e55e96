// `proctor index build|query`: a corpus becomes an index; an index answers queries.
//
// Blind spot: queries of a file run one after the other on one thread.
#include <fmt/format.h>

#include <chrono>
#include <iostream>

#include "runtime/app/commands.h"
#include "runtime/core/json.h"
#include "runtime/core/record_writer.h"
#include "runtime/core/text_table.h"
#include "runtime/core/unicode.h"
#include "tools/index.h"

namespace proctor {
namespace {

struct BuildArguments {
  std::string corpus, out;
};
struct QueryArguments {
  std::string directory, query, queries;
  std::int64_t k = 10;
};

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

Result<int> build(const BuildArguments& arguments) {
  const auto began = std::chrono::steady_clock::now();
  auto facts = build_index(arguments.corpus, arguments.out, {.stop = &catch_interrupt()});
  if (!facts) return std::move(facts).error();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  fmt::print("{}: {}, {}, {:.1f} MB index + {:.1f} MB documents, in {:.1f} s\n", arguments.out,
             plural(static_cast<std::int64_t>(facts->documents), "document"),
             plural(static_cast<std::int64_t>(facts->terms), "term"),
             static_cast<double>(facts->index_bytes) / 1e6,
             static_cast<double>(facts->documents_bytes) / 1e6, took.count());
  return 0;
}

Result<json::array> hits_of(const SearchIndex& index, const std::string& query, std::size_t k) {
  json::array hits;
  for (const Hit& hit : index.query(query, k)) {
    auto document = index.document(hit.document);
    if (!document) return std::move(document).error();
    hits.push_back({{"id", document->id},
                    {"score", hit.score},
                    {"title", document->title},
                    {"text", document->text}});
  }
  return hits;
}

// A line of the file is the query itself, or a record {"id","query"}.
struct Asked {
  json::value id;
  std::string query;
};
Result<Asked> read_asked(const std::string& line) {
  Asked asked{nullptr, line};
  if (line.starts_with('{')) {
    auto record = parse_exact_json(line);
    if (!record) return std::move(record).error();
    Fields fields(record->as_object(), "");
    asked.query = fields.text("query");
    asked.id = fields.any("id");
    if (!fields.status()) return fields.status().error();
  }
  if (!is_utf8(asked.query)) return bad_input("the query: " + why_no_utf8(asked.query));
  if (is_blank(asked.query)) return bad_input("the query is empty; expected words to look for");
  return asked;
}

Result<int> query_file(const SearchIndex& index, const QueryArguments& arguments) {
  auto read = read_lines(arguments.queries, [&](std::string_view line, std::size_t) -> Status {
    if (!std::cout) return Error{ErrorKind::cancelled, ""};  // nobody reads the answers any more
    if (line.ends_with('\r')) line.remove_suffix(1);
    auto asked = read_asked(std::string(line));
    if (!asked) return std::move(asked).error();
    auto hits = hits_of(index, asked->query, static_cast<std::size_t>(arguments.k));
    if (!hits) return std::move(hits).error();
    const json::object answer{
        {"id", asked->id}, {"query", asked->query}, {"hits", std::move(*hits)}};
    std::cout << json_text(answer) << '\n';
    return {};
  });
  if (!read && read.error().kind != ErrorKind::cancelled) return std::move(read).error();
  return 0;
}

Result<int> query(const QueryArguments& arguments) {
  if (arguments.queries.empty() && is_blank(arguments.query))
    return bad_input("index query: the query is empty; give words to look for, or --queries FILE");
  auto index = SearchIndex::open(arguments.directory);
  if (!index) return std::move(index).error();
  if (!arguments.queries.empty()) return query_file(**index, arguments);
  auto hits = hits_of(**index, arguments.query, static_cast<std::size_t>(arguments.k));
  if (!hits) return std::move(hits).error();
  for (const json::value& hit : *hits) std::cout << json_text(hit) << '\n';
  return 0;
}

}  // namespace

std::function<Result<int>()> set_up_index(CLI::App& command) {
  auto build_arguments = std::make_shared<BuildArguments>();
  auto query_arguments = std::make_shared<QueryArguments>();
  command.require_subcommand(1);

  CLI::App* builder = command.add_subcommand("build", "make an index from a corpus");
  builder
      ->add_option("CORPUS", build_arguments->corpus,
                   "records {\"id\",\"title\"?,\"text\"}, one a line (.jsonl, .jsonl.zst, -)")
      ->required();
  builder->add_option("--out", build_arguments->out, "the folder to make; must not be there yet")
      ->check(not_empty())
      ->required();
  builder->footer("Example:\n  proctor index build corpus.jsonl --out corpus.index");

  CLI::App* asker = command.add_subcommand("query", "ask an index");
  asker->add_option("DIR", query_arguments->directory, "folder made by `index build`")->required();
  auto* words = asker->add_option("QUERY", query_arguments->query, "prints one hit a line");
  asker
      ->add_option("--queries", query_arguments->queries,
                   "one query a line, or {\"id\",\"query\"} records; prints one line each")
      ->excludes(words);
  asker->add_option("--k", query_arguments->k, "hits a query")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{100000}))
      ->capture_default_str();
  asker->footer("Example:\n  proctor index query corpus.index --k 3 'words to look for'");

  return [builder, build_arguments, query_arguments]() -> Result<int> {
    return builder->parsed() ? build(*build_arguments) : query(*query_arguments);
  };
}

}  // namespace proctor
