// SPDX-License-Identifier: Apache-2.0
// The source line of a call, as a default argument: `void f(Where where = Where::here())`.
// clang-tidy 14 cannot parse std::source_location.
#pragma once

#include <string_view>

namespace finescale {

struct Where {
  const char* file = "";  // lives as long as the program
  int line = 0;

  static constexpr Where here(const char* file = __builtin_FILE(),
                              int line = __builtin_LINE()) noexcept {
    return {file, line};
  }
  // Without its folders.
  [[nodiscard]] constexpr std::string_view file_name() const noexcept {
    const std::string_view whole = file;
    return whole.substr(whole.find_last_of('/') + 1);  // npos + 1 is 0
  }
};

}  // namespace finescale
