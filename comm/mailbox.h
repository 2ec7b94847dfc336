// SPDX-License-Identifier: Apache-2.0
// Small messages between the ranks of a group that never wait: for watchdogs, which must go on when
// others have stopped. One thread per rank uses it.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

namespace finescale {

class Mailbox {
 public:
  struct Message {
    int from = 0;
    std::vector<std::byte> bytes;
  };

  virtual ~Mailbox() = default;
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  // Copies the bytes and returns at once; they may never arrive.
  virtual void post(int to, std::span<const std::byte> bytes) = 0;
  [[nodiscard]] virtual std::optional<Message> poll() = 0;  // the next message that has arrived

 protected:
  Mailbox() = default;
};

}  // namespace finescale
