// Tables stay tables, whatever others put into their cells.
#include "runtime/core/text_table.h"

#include <gtest/gtest.h>

namespace proctor {
namespace {

TEST(TextTable, NamesAreSetLeftAndNumbersRight) {
  EXPECT_EQ(text_table({{"suite", "tasks"}, {"qa", "7"}, {"math", "32"}}),
            "suite  tasks\n"
            "-----  -----\n"
            "qa         7\n"
            "math      32\n");
}

TEST(TextTable, WhatWouldBreakALineIsWrittenOut) {
  EXPECT_EQ(text_table({{"suite", "tasks"}, {"a\n\x1b[2Jb\u202e", "7"}, {"c\td\x9b", "32"}}),
            "suite             tasks\n"
            "----------------  -----\n"
            "a ^[[2Jb<U+202E>      7\n"
            "c d<9B>              32\n");
}

}  // namespace
}  // namespace proctor
