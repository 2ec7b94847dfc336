// SPDX-License-Identifier: Apache-2.0
// Canonical text of a message: our own printer, fields by number, one line per field, doubles by
// shortest round trip.
#pragma once

#include <string>
#include <string_view>

#include <google/protobuf/message.h>

#include "configs/schema/stage.pb.h"

namespace finescale {

// Defaults written out (what is stored and sent). parse_canonical reads it back to an equal
// message.
[[nodiscard]] std::string canonical_text(const google::protobuf::Message& message);
void parse_canonical(std::string_view text, google::protobuf::Message& message);

// Only fields that differ from their default and are not marked not_in_key, with each kind's
// revision when > 0: what a stage key is the hash of.
[[nodiscard]] std::string key_text(const google::protobuf::Message& message);
[[nodiscard]] std::string stage_key(const config::StageSpec& spec);

}  // namespace finescale
