// SPDX-License-Identifier: Apache-2.0
// PCRE2 with owners for its handles. Include it in sources only: it brings the library's macros.
#pragma once

#include <array>
#include <string>
#include <string_view>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "core/unique_handle.h"

namespace finescale {

struct PcreCodeTraits {
  using Handle = pcre2_code*;
  static Handle invalid() noexcept { return nullptr; }
  static void destroy(Handle handle) noexcept { pcre2_code_free(handle); }
};
struct PcreMatchTraits {
  using Handle = pcre2_match_data*;
  static Handle invalid() noexcept { return nullptr; }
  static void destroy(Handle handle) noexcept { pcre2_match_data_free(handle); }
};
using PcreCode = UniqueHandle<PcreCodeTraits>;
using PcreMatch = UniqueHandle<PcreMatchTraits>;

inline PCRE2_SPTR pcre_units(std::string_view text) noexcept {
  return reinterpret_cast<PCRE2_SPTR>(text.data());
}

// What an error code of the library means.
inline std::string pcre_message(int code) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

}  // namespace finescale
