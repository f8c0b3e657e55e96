// Words of a text as the index knows them: UAX#29-like segmentation, lower case, Snowball English.
//
// Kept simple where Unicode is not: no dictionary scripts (a Thai sentence is one word), no emoji,
// no normalisation (a precomposed letter and its decomposed twin are two words). As UAX#29 has it,
// "C++" is the word "c" and "foo.bar" is one word.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

struct sb_stemmer;

namespace proctor {

// Goes over a text word by word. Bytes that are not UTF-8 separate words.
class WordReader {
 public:
  // Longer words are cut here, as Lucene does it: what is longer is no word anybody searches.
  static constexpr std::size_t kLongestBytes = 255;

  explicit WordReader(std::string_view text) : text_(text) {}

  // Puts the next word, in lower case, into `word`; false at the end of the text.
  bool next(std::string& word);

 private:
  std::string_view text_;
  std::size_t at_ = 0;
};

// Takes English endings off: "compilers" and "compiler" meet. One instance, one thread.
class Stemmer {
 public:
  Stemmer();
  // Valid until the next call.
  std::string_view stem(std::string_view word);

 private:
  struct Deleter {
    void operator()(sb_stemmer* stemmer) const;
  };
  std::unique_ptr<sb_stemmer, Deleter> stemmer_;
};

// The 33 English words that Lucene leaves out of queries.
bool is_stop_word(std::string_view word);

}  // namespace proctor
