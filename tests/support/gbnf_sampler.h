// Draws random strings from a grammar in llama.cpp's GBNF, so that a test can ask whether
// everything a grammar allows is also understood, and says whether it allows a given text. Covers
// literals, classes, groups, alternatives, ? * + {m,n}; draws at most eight times what * and +
// repeat.
#pragma once

#include <climits>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

namespace proctor {

class GbnfSampler {
 public:
  explicit GbnfSampler(const std::string& grammar) {
    std::size_t start = 0;
    while (start < grammar.size()) {
      auto end = grammar.find('\n', start);
      if (end == std::string::npos) end = grammar.size();
      const std::string line = grammar.substr(start, end - start);
      start = end + 1;
      const auto mark = line.find(" ::= ");
      if (mark == std::string::npos) throw std::runtime_error("no rule: " + line);
      text_ = line.substr(mark + 5);
      at_ = 0;
      rules_[line.substr(0, mark)] = alternatives();
      if (at_ != text_.size()) throw std::runtime_error("left over: " + text_.substr(at_));
    }
    if (!rules_.contains("root")) throw std::runtime_error("no root");
  }

  std::string sample(std::mt19937& random) const {
    std::string out;
    emit(rules_.at("root"), random, out);
    return out;
  }

  bool accepts(const std::string& text) const {
    return ends(rules_.at("root"), text, {0}).contains(text.size());
  }

 private:
  static constexpr int kUnbounded = INT_MAX;
  struct Node {
    enum Kind { literal, characters, name, choice } kind = literal;
    std::string text;      // literal, name
    bool negated = false;  // characters
    std::vector<std::pair<unsigned char, unsigned char>> ranges;
    std::vector<std::vector<Node>> options;  // choice
    int least = 1, most = 1;
  };

  void skip() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }
  char escaped() {
    const char c = text_.at(at_++);
    if (c != '\\') return c;
    const char code = text_.at(at_++);
    if (code == 'n') return '\n';
    if (code == 't') return '\t';
    if (code == 'x') {
      const std::string hex = text_.substr(at_, 2);
      at_ += 2;
      return static_cast<char>(std::stoi(hex, nullptr, 16));
    }
    if (code == '\\' || code == '"' || code == ']' || code == '[') return code;
    throw std::runtime_error(std::string("unknown escape: ") + code);
  }
  Node alternatives() {
    Node node;
    node.kind = Node::choice;
    node.options.emplace_back();
    for (skip(); at_ < text_.size() && text_[at_] != ')'; skip()) {
      if (text_[at_] == '|') {
        ++at_;
        node.options.emplace_back();
        continue;
      }
      Node part = one();
      repeat(part);
      node.options.back().push_back(std::move(part));
    }
    return node;
  }
  Node one() {
    Node node;
    if (text_[at_] == '(') {
      ++at_;
      node = alternatives();
      if (at_ >= text_.size()) throw std::runtime_error("group is not closed");
      ++at_;
    } else if (text_[at_] == '"') {
      for (++at_; text_.at(at_) != '"';) node.text += escaped();
      ++at_;
    } else if (text_[at_] == '[') {
      node.kind = Node::characters;
      ++at_;
      if (text_.at(at_) == '^') {
        node.negated = true;
        ++at_;
      }
      while (text_.at(at_) != ']') {
        const char low = escaped();
        char high = low;
        if (text_.at(at_) == '-' && text_.at(at_ + 1) != ']') {
          ++at_;
          high = escaped();
        }
        node.ranges.emplace_back(low, high);
      }
      ++at_;
    } else {
      node.kind = Node::name;
      while (at_ < text_.size() &&
             (std::isalnum(static_cast<unsigned char>(text_[at_])) || text_[at_] == '-')) {
        node.text += text_[at_++];
      }
      if (node.text.empty()) throw std::runtime_error("unexpected: " + text_.substr(at_));
    }
    return node;
  }
  void repeat(Node& node) {
    if (at_ >= text_.size()) return;
    const char c = text_[at_];
    if (c == '?') node.least = 0;
    if (c == '*') node.least = 0;
    if (c == '*' || c == '+') node.most = kUnbounded;
    if (c == '?' || c == '*' || c == '+') ++at_;
    if (c != '{') return;
    const auto end = text_.find('}', at_);
    const std::string bounds = text_.substr(at_ + 1, end - at_ - 1);
    const auto comma = bounds.find(',');
    node.least = std::stoi(bounds);
    node.most = comma == std::string::npos ? node.least : std::stoi(bounds.substr(comma + 1));
    at_ = end + 1;
  }

  // Where a match of `node` may end when it begins at one of `starts`.
  using Places = std::set<std::size_t>;
  Places ends(const Node& node, const std::string& text, Places starts) const {
    Places all;
    for (int i = 0; !starts.empty(); ++i) {
      if (i >= node.least) all.insert(starts.begin(), starts.end());
      if (i == node.most) break;
      starts = ends_once(node, text, starts);
    }
    return all;
  }
  Places ends_once(const Node& node, const std::string& text, const Places& starts) const {
    Places all;
    if (node.kind == Node::choice) {
      for (const auto& parts : node.options) {
        Places places = starts;
        for (const Node& part : parts) places = ends(part, text, std::move(places));
        all.merge(places);
      }
      return all;
    }
    if (node.kind == Node::name) return ends_once(rules_.at(node.text), text, starts);
    for (const std::size_t at : starts) {
      if (node.kind == Node::literal) {
        if (text.compare(at, node.text.size(), node.text) == 0) all.insert(at + node.text.size());
        continue;
      }
      if (at == text.size()) continue;
      const auto c = static_cast<unsigned char>(text[at]);
      bool inside = false;
      for (const auto& [low, high] : node.ranges) inside |= c >= low && c <= high;
      if (inside != node.negated) all.insert(at + 1);
    }
    return all;
  }

  void emit(const Node& node, std::mt19937& random, std::string& out) const {
    const int most = node.most == kUnbounded ? 8 : node.most;
    const int times = std::uniform_int_distribution(node.least, most)(random);
    for (int i = 0; i < times; ++i) emit_once(node, random, out);
  }
  void emit_once(const Node& node, std::mt19937& random, std::string& out) const {
    switch (node.kind) {
      case Node::literal:
        out += node.text;
        break;
      case Node::name: {
        const auto rule = rules_.find(node.text);
        if (rule == rules_.end()) throw std::runtime_error("unknown rule " + node.text);
        emit_once(rule->second, random, out);
        break;
      }
      case Node::choice: {
        auto pick = std::uniform_int_distribution<std::size_t>(0, node.options.size() - 1);
        for (const Node& part : node.options[pick(random)]) emit(part, random, out);
        break;
      }
      case Node::characters: {
        if (!node.negated) {
          const auto& [low, high] = node.ranges[random() % node.ranges.size()];
          out += static_cast<char>(low + random() % (high - low + 1u));
          return;
        }
        // Biased to what markup is made of, so that near misses happen often.
        static const std::string likely = "<>/{}\"\\\n \t:`abcdeghiknoprstuwxyzATOFI019.,";
        for (int tries = 0; tries < 1000; ++tries) {
          const unsigned char c = random() % 4 != 0 ? likely[random() % likely.size()]
                                                    : static_cast<unsigned char>(random() % 128);
          bool inside = false;
          for (const auto& [low, high] : node.ranges) inside |= c >= low && c <= high;
          if (inside) continue;
          out += static_cast<char>(c);
          return;
        }
        throw std::runtime_error("an empty class");
      }
    }
  }

  std::map<std::string, Node> rules_;
  std::string text_;
  std::size_t at_ = 0;
};

}  // namespace proctor
