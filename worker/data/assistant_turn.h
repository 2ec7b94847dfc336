// SPDX-License-Identifier: Apache-2.0
// Where a turn of the assistant stands in a rendered chat, found from renderings of its beginning.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "worker/data/chat_template.h"

namespace finescale {

struct TurnRenderings {
  const std::string& before;   // messages in front of the turn, and the generation prompt
  const std::string& through;  // messages up to the turn
  const std::string& whole;    // all messages
};

// The turn `index` with its end token. Throws kData when the renderings do not begin alike.
[[nodiscard]] ByteRange find_turn(const TurnRenderings& renderings,
                                  const nlohmann::ordered_json& message, std::size_t index,
                                  const ChatTokens& tokens, const std::string& where);

}  // namespace finescale
