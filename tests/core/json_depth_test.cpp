// SPDX-License-Identifier: Apache-2.0
#include "core/json_depth.h"

#include <string>

#include <gtest/gtest.h>

namespace finescale {
namespace {

std::string nested(int depth) {
  return std::string(static_cast<std::size_t>(depth), '[') +
         std::string(static_cast<std::size_t>(depth), ']');
}

TEST(JsonDepth, CountsWhatIsOpenAtOnce) {
  EXPECT_FALSE(is_json_too_deep(""));
  EXPECT_FALSE(is_json_too_deep(nested(kMaxJsonDepth)));
  EXPECT_TRUE(is_json_too_deep(nested(kMaxJsonDepth + 1)));
  std::string wide = "[";
  for (int i = 0; i < 1000; ++i) {
    wide += "{},";
  }
  EXPECT_FALSE(is_json_too_deep(wide + "{}]"));
}

TEST(JsonDepth, BracketsInTextsAreNoLists) {
  const std::string open(1000, '[');
  EXPECT_FALSE(is_json_too_deep("\"" + open + "\""));
  EXPECT_FALSE(is_json_too_deep("\"a\\\"" + open + "\""));
  EXPECT_TRUE(is_json_too_deep("\"a\\\\\"" + open));
  EXPECT_FALSE(is_json_too_deep("\"\\"));  // cut in the middle of an escape
}

TEST(JsonDepth, TheMessageSaysTheLimit) {
  EXPECT_NE(std::string(kJsonTooDeep).find(std::to_string(kMaxJsonDepth)), std::string::npos);
}

}  // namespace
}  // namespace finescale
