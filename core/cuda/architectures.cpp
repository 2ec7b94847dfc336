// SPDX-License-Identifier: Apache-2.0
#include "core/cuda/architectures.h"

#include <charconv>

namespace finescale {

bool runs_on(std::string_view built_for, int major, int minor) {
  while (!built_for.empty()) {
    const std::string_view word = built_for.substr(0, built_for.find_first_of(";,"));
    built_for.remove_prefix(word.size() < built_for.size() ? word.size() + 1 : built_for.size());
    int number = 0;
    const char* end = std::from_chars(word.data(), word.data() + word.size(), number).ptr;
    const std::string_view suffix = word.substr(static_cast<std::size_t>(end - word.data()));
    const bool is_bound = suffix.starts_with('a');  // 90a: for that GPU alone
    const bool same =
        major == number / 10 && (is_bound ? minor == number % 10 : minor >= number % 10);
    if (number == 0 || (is_bound && !same)) {
      continue;
    }
    const bool has_code = !suffix.ends_with("-virtual");
    const bool has_ptx = !suffix.ends_with("-real") && !is_bound;
    if ((has_code && same) || (has_ptx && 10 * major + minor >= number)) {
      return true;
    }
  }
  return false;
}

std::string architecture_name(int major, int minor) {
  return "sm_" + std::to_string(major) + std::to_string(minor);
}

}  // namespace finescale
