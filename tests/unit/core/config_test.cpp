// Options are checked once, and every refusal says what would be right.
#include "runtime/core/config.h"

#include <gtest/gtest.h>

namespace proctor {
namespace {

const std::vector<OptionInfo> kDeclared = {
    {.name = "gamma", .type = OptionType::number, .fallback = 1.0, .least = 0, .most = 1},
    {.name = "norm",
     .type = OptionType::choice,
     .fallback = "joint",
     .choices = {"joint", "separate"}},
    {.name = "names", .type = OptionType::list, .fallback = json::array{}},
    {.name = "on", .type = OptionType::boolean, .fallback = false},
};

TEST(Options, TextOfACommandLineIsConverted) {
  auto use = parse_plugin_use("igpo:gamma=0.5,norm=separate,names=a+b,on=true,as=second");
  ASSERT_TRUE(use) << use.error().message;
  EXPECT_EQ(use->name, "igpo");
  EXPECT_EQ(use->alias, "second");
  auto options = Options::parse(use->options, kDeclared, "igpo");
  ASSERT_TRUE(options) << options.error().message;
  EXPECT_EQ(options->number("gamma"), 0.5);
  EXPECT_EQ(options->text("norm"), "separate");
  EXPECT_EQ(options->list("names"), (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(options->boolean("on"));
}

TEST(Options, RefusalsSayWhatWouldBeRight) {
  const auto refusal = [](json::object given) {
    auto options = Options::parse(given, kDeclared, "igpo");
    return options ? std::string("accepted") : options.error().message;
  };
  EXPECT_EQ(refusal({{"gama", 1}}), "igpo: unknown option 'gama': did you mean 'gamma'?");
  EXPECT_EQ(refusal({{"gamma", 2}}), "igpo: gamma: 2 is out of range; expected from 0 to 1");
  EXPECT_EQ(refusal({{"norm", "both"}}), "igpo: norm: 'both' is not one of joint, separate");
  EXPECT_EQ(refusal({{"on", "maybe"}}), "igpo: on: expected true or false, got \"maybe\"");
}

TEST(Options, TextsAreUtf8) {
  const std::vector<OptionInfo> declared = {{.name = "rubric"},
                                            {.name = "names", .type = OptionType::list}};
  for (const auto* name : {"rubric", "names"}) {
    const json::object given = {{name, "gr\xFC\xDF"}};
    const auto refused = Options::parse(given, declared, "judge");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message, std::string("judge: ") + name + ": 0xFC is no UTF-8 text");
  }
}

TEST(NearestHint, GuessesNothingWhereNothingWasGiven) {
  EXPECT_EQ(nearest_hint("o2", {"o1", "gpt"}), ": did you mean 'o1'?");
  EXPECT_EQ(nearest_hint("", {"o1", "gpt"}), ": known are o1, gpt");
}

TEST(Yaml, ScalarsFollowTheCoreSchemaAndLinesAreKnown) {
  auto file = parse_yaml("a: 1\nb: '1'\nc: yes\nd: [1.5, ~, x]\ne:\n  f: true\n", "f.yaml");
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(canonical_json(file->root),
            R"({"a":1,"b":"1","c":"yes","d":[1.5E0,null,"x"],"e":{"f":true}})");
  EXPECT_EQ(file->complain("e.f", "no").message, "f.yaml:6: no");
  auto again = parse_yaml(to_yaml(file->root), "again");
  ASSERT_TRUE(again);
  EXPECT_EQ(again->root, file->root);
}

TEST(Yaml, BrokenTextNamesTheLine) {
  auto file = parse_yaml("a: 1\nb: [1, 2\n", "f.yaml");
  ASSERT_FALSE(file);
  EXPECT_TRUE(file.error().message.starts_with("f.yaml:")) << file.error().message;
  EXPECT_FALSE(parse_yaml("a: 1\na: 2\n", "twice"));
}

std::string refusal_of(const std::string& text) {
  auto file = parse_yaml(text, "f.yaml");
  return file ? std::string("accepted") : file.error().message;
}

TEST(Yaml, SaysInPlainWordsWhatIsBrokenAndWhere) {
  const std::pair<const char*, const char*> cases[] = {
      {"name: a: b\n", "1:8: this ':' follows no key"},
      {"a:\n   b: 1\n  c: 2\n", "3:3: this belongs to no key above"},
      {"a: [1\nb: 2\n", "2:2: a '[' before this is not closed by ']'"},
      {"a: {b: 1\nc: 2\n", "2:2: a '{' before this is not closed by '}'"},
      {"a: ]\n", "1:4: this closes nothing"},
      {"a: @x\n", "1:4: no text can begin with this character"},
      {"filter: *.x\n", "1:9: '*' asks for an anchor"},
      {"a:\n\tb: 1\n", "2:3: a tab indents this line"},
      {"a:\n  b: 1\n\tc: 2\n", "3:1: a tab indents this line"},
      {"a: \"x\nb: 1\n", "3:2: a quoted text before this is not closed"},
      {"a: 'x\nb: 1", "2:5: a quoted text before this is not closed"},
      {"a: \"\\q\"\n", "1:7: there is no such escape"},
      {"a: \"\\ud800\"\n", "1:11: the escape stands for no character"},
      {"[1]: 2\n", "1:1: a list or a mapping cannot be a key"},
      {"a: 1\nb: gr\xF6\xDF"
       "e\n",
       "2:6: 0xF6 is no UTF-8 text"},
      {"a: \xED\xA0\x80\n", "1:4: 0xED is no UTF-8 text"},
      {"a: 1\n\x04"
       "b: 2\n",
       "2:1: the control character 0x04 cannot stand in YAML"},
      {"%YAML 3.0\n---\na: 1\n", "1:1: no YAML: YAML major version too large"}};
  for (const auto& [text, words] : cases)
    EXPECT_EQ(refusal_of(text).find(std::string("f.yaml:") + words), 0u) << refusal_of(text);
  json::value root;
  EXPECT_EQ(set_by_path(root, "a=[1").error().message,
            "--set a=[1: a '[' before this is not closed by ']'");
}

TEST(Yaml, TextThatIsFineStaysAsItIs) {
  auto file = parse_yaml("a: |\n  x\n\nb: |+\n  y\n\n", "f.yaml");
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(canonical_json(file->root), R"({"a":"x\n","b":"y\n\n"})");
  const std::string utf16(
      "\xFF\xFE"
      "a\0:\0 \0\xFC\0\n\0",
      12);
  ASSERT_TRUE(parse_yaml(utf16, "f.yaml")) << refusal_of(utf16);
  EXPECT_EQ(parse_yaml(utf16, "f.yaml")->root, (json::object{{"a", "\xC3\xBC"}}));
  const json::value odd =
      json::object{{"a", std::string("\x01\x1b[2J\x7f\xC2\x85\xE2\x80\xA8", 11)}};
  auto again = parse_yaml(to_yaml(odd), "again");
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->root, odd);
}

TEST(Yaml, AnchorsStandForNoListWithoutEnd) {
  EXPECT_EQ(refusal_of("b: 1\na: &a [*a]\n").find("f.yaml:2: lists and mappings lie too deep"), 0u);
  std::string lists = "a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]\n";
  for (int i = 1; i < 10; ++i) {
    const std::string below = "*a" + std::to_string(i - 1), name = "a" + std::to_string(i);
    lists += name + ": &" + name + " [" + below;
    for (int k = 1; k < 10; ++k) lists += ", " + below;
    lists += "]\n";
  }
  EXPECT_NE(refusal_of(lists).find("too many values"), std::string::npos);
  auto shared = parse_yaml("a: &a [1]\nb: *a\n", "f.yaml");
  ASSERT_TRUE(shared) << shared.error().message;
  EXPECT_EQ(canonical_json(shared->root), R"({"a":[1],"b":[1]})");
}

TEST(Yaml, AFileHoldsOneDocument) {
  EXPECT_EQ(
      refusal_of("a: 1\n---\nb: 2\n"),
      "f.yaml:3: a second document begins here (---, or what fits nothing above); expected one "
      "in a file");
  EXPECT_TRUE(parse_yaml("---\na: 1\n...\n", "f.yaml"));
  EXPECT_TRUE(parse_yaml("", "f.yaml")->root.is_null());
}

TEST(Yaml, NoIntegerIsRounded) {
  EXPECT_EQ(refusal_of("a: 1\nb: [18446744073709551616]\n"),
            "f.yaml:2: the integer 18446744073709551616 does not fit in 64 bits; write it as a "
            "text");
  auto file = parse_yaml("[18446744073709551615, '18446744073709551616', 1e25]", "f.yaml");
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(canonical_json(file->root), R"([18446744073709551615,"18446744073709551616",1E25])");
  EXPECT_EQ(parse_yaml(to_yaml(file->root), "again")->root, file->root);
}

TEST(Yaml, WhatIsNoDecimalNumberIsText) {
  auto file = parse_yaml("[+-5, ++5, 0x1F, .inf, +5]", "f.yaml");
  ASSERT_TRUE(file);
  EXPECT_EQ(canonical_json(file->root), R"(["+-5","++5","0x1F",".inf",5])");
}

TEST(PluginUse, NullSuitesAskForTheDefault) {
  auto use = read_plugin_use(json::object{{"igpo", {{"suites", nullptr}}}}, "supervise[0]");
  ASSERT_TRUE(use) << use.error().message;
  EXPECT_TRUE(use->suites.empty());
}

TEST(PluginUse, SaysHowACommaIsWrittenAndWhatStandsTwice) {
  const auto refusal = [](const std::string& text) {
    auto use = parse_plugin_use(text);
    return use ? std::string("accepted") : use.error().message;
  };
  EXPECT_EQ(refusal("judge:rubric=good, or bad?"),
            "'judge:rubric=good, or bad?': expected key=value, got ' or bad?' (a comma within a "
            "value is written \\,)");
  EXPECT_EQ(refusal("judge:rubric=good\\, or bad?"), "accepted");
  EXPECT_EQ(refusal("judge:votes=3,votes=5"), "'judge:votes=3,votes=5': votes stands twice");
  EXPECT_EQ(refusal("judge:suites="),
            "'judge:suites=' judge: suites: is empty; left out, it is all of them");
}

TEST(Yaml, ASettingGoesToItsPath) {
  json::value root = json::object{{"limits", json::object{{"turns", 8}}}};
  ASSERT_TRUE(set_by_path(root, "limits.turns=3"));
  ASSERT_TRUE(set_by_path(root, "models.policy=script:x.jsonl"));
  EXPECT_EQ(canonical_json(root), R"({"limits":{"turns":3},"models":{"policy":"script:x.jsonl"}})");
  EXPECT_FALSE(set_by_path(root, "limits.turns.more=1"));
  EXPECT_FALSE(set_by_path(root, "nothing"));
}

TEST(Options, NumbersAreShownAsPeopleWriteThem) {
  const std::vector<OptionInfo> declared = {{.name = "count", .type = OptionType::integer},
                                            {.name = "name", .type = OptionType::text}};
  EXPECT_EQ(Options::parse({{"count", 1.5}}, declared, "x").error().message,
            "x: count: expected an integer, got 1.5");
  EXPECT_EQ(Options::parse({{"name", 1.5}}, declared, "x")->text("name"), "1.5");
}

TEST(Yaml, ASettingNeedsAValue) {
  json::value root = json::object{{"samples", 3}};
  for (const char* text : {"samples=", "samples= "})
    EXPECT_NE(set_by_path(root, text).error().message.find("the value is missing"),
              std::string::npos);
  EXPECT_EQ(root.at("samples"), 3);
  EXPECT_TRUE(set_by_path(root, "samples=null"));
  EXPECT_TRUE(root.at("samples").is_null());
}

}  // namespace
}  // namespace proctor
