// Comparing short answers as the SQuAD and HotpotQA evaluations do; for checkers and supervisors.
//
// Two departures, so that different things stay different: a point between digits stays ("1.5" is
// not "15"), and a text of nothing but articles and punctuation ("A", "++") is compared as it is.
// Blind spot: other punctuation goes, so that "C", "C++" and "C#" are one answer.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace proctor {

// Lower case, no punctuation, no articles, single spaces.
std::string normalised_answer(std::string_view text);

bool same_answer(std::string_view given, std::string_view gold);

// Harmonic mean of precision and recall over words; yes, no and noanswer match only themselves.
double answer_f1(std::string_view given, std::string_view gold);

// Whether the entity's words stand side by side in the text, both normalised.
bool mentions(std::string_view text, std::string_view entity);

}  // namespace proctor
