// SPDX-License-Identifier: Apache-2.0
// What a peer may say. Everything that comes over the network is checked here once, before anyone
// acts on it: names are short and plain, numbers are in their range, texts are UTF-8.
#pragma once

#include <string>

#include "comm/proto/gang.pb.h"

namespace finescale {

// Of one message, either way. A commit, the longest, holds a few numbers for each evaluation.
inline constexpr int kMaxMessageBytes = 16 << 20;

// "" or what is wrong with it, naming the field.
[[nodiscard]] std::string message_fault(const proto::RegisterRequest& message);
[[nodiscard]] std::string message_fault(const proto::NextRequest& message);
[[nodiscard]] std::string message_fault(const proto::HeartbeatRequest& message);
[[nodiscard]] std::string message_fault(const proto::CommitRequest& message);
[[nodiscard]] std::string message_fault(const proto::FailRequest& message);
[[nodiscard]] std::string message_fault(const proto::ControlRequest& message);

// At most this long, and UTF-8: bytes that are not become question marks. For texts that people
// read and that may quote anything.
[[nodiscard]] std::string clean_text(const std::string& text, std::size_t max_bytes);

}  // namespace finescale
