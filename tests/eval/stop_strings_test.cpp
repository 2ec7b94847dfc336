// SPDX-License-Identifier: Apache-2.0
#include "worker/eval/stop_strings.h"

#include <gtest/gtest.h>

namespace finescale {
namespace {

// The text that is shown when `text` comes in pieces of n bytes.
std::string shown(const std::vector<std::string>& strings, const std::string& text, std::size_t n,
                  bool* stopped = nullptr) {
  StopStrings stops(strings);
  std::string out;
  for (std::size_t at = 0; at < text.size(); at += n) {
    out += stops.feed(text.substr(at, n));
  }
  if (stopped != nullptr) {
    *stopped = stops.stopped();
  }
  return stops.stopped() ? out : out + stops.finish();
}

TEST(StopStrings, AreFoundAcrossAllBorders) {
  for (std::size_t n = 1; n <= 20; ++n) {
    bool stopped = false;
    EXPECT_EQ(shown({"\n\nUser:"}, "one\n\ntwo\n\n\nUser: no", n, &stopped), "one\n\ntwo\n");
    EXPECT_TRUE(stopped);
    EXPECT_EQ(shown({"\n\nUser:"}, "one\n\nUser", n, &stopped), "one\n\nUser");
    EXPECT_FALSE(stopped);
    EXPECT_EQ(shown({"aab"}, "aaaab", n), "aa");
    EXPECT_EQ(shown({"abab"}, "xababab", n), "x");
  }
}

TEST(StopStrings, TheFirstToEndCounts) {
  for (std::size_t n = 1; n <= 12; ++n) {
    EXPECT_EQ(shown({"longer stop", "stop"}, "a longer stop b", n), "a ");
    EXPECT_EQ(shown({"bc", "abcd"}, "xabcd", n), "xa");
    EXPECT_EQ(shown({"", "END"}, "the END", n), "the ");
  }
}

TEST(StopStrings, HoldBackOnlyWhatMayBeAStop) {
  StopStrings stops({"STOP"});
  EXPECT_EQ(stops.feed("go on"), "go on");
  EXPECT_EQ(stops.feed(" S"), " ");
  EXPECT_EQ(stops.feed("T"), "");
  EXPECT_EQ(stops.feed("S"), "ST");
  EXPECT_EQ(stops.feed("TOP and more"), "");
  EXPECT_TRUE(stops.stopped());
  EXPECT_EQ(stops.feed("later"), "");
}

}  // namespace
}  // namespace finescale
