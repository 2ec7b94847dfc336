// SPDX-License-Identifier: Apache-2.0
// How deep lists and objects lie in each other in a JSON text, asked before it is parsed: trees are
// copied, compared and printed by recursion, which a hostile file must not drive off the stack.
#pragma once

#include <string_view>

namespace finescale {

// Files of models and data stay below ten; schemas of tools, in chats, below thirty.
inline constexpr int kMaxJsonDepth = 200;

inline constexpr const char* kJsonTooDeep =
    "lists and objects are nested too deep, more than 200 in each other";

// Whether lists and objects lie deeper than kMaxJsonDepth. The text need not be valid.
[[nodiscard]] bool is_json_too_deep(std::string_view text) noexcept;

}  // namespace finescale
