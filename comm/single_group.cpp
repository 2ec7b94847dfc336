// SPDX-License-Identifier: Apache-2.0
// A group of one rank, without any library.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "comm/group.h"
#include "core/error.h"

namespace finescale {

namespace {

class NoMailbox final : public Mailbox {
 public:
  void post(int to, std::span<const std::byte> /*bytes*/) override {
    FS_CHECK(false, "a group of one has no rank " + std::to_string(to) + " to write to");
  }
  [[nodiscard]] std::optional<Message> poll() override { return std::nullopt; }
};

class SingleGroup final : public Group {
 public:
  SingleGroup() : Group(0, 1) {}

 private:
  void do_barrier() override {}
  void do_broadcast(void* /*data*/, std::size_t /*size_bytes*/, int /*root*/) override {}
  void do_all_to_all(std::span<const std::span<const std::byte>> send,
                     std::span<const std::span<std::byte>> receive) override {
    if (!send[0].empty()) {
      std::memmove(receive[0].data(), send[0].data(), send[0].size());
    }
  }
  void do_all_gather(std::span<const std::byte> part, std::span<std::byte> whole,
                     std::span<const std::size_t> offsets_bytes) override {
    if (!part.empty()) {
      std::memmove(whole.data() + offsets_bytes[0], part.data(), part.size());
    }
  }
  void do_send(std::span<const std::byte> /*bytes*/, int to, int /*tag*/) override { refuse(to); }
  void do_receive(std::span<std::byte> /*bytes*/, int from, int /*tag*/) override { refuse(from); }
  [[nodiscard]] std::unique_ptr<Group> do_split(int /*color*/, int /*key*/) override {
    return std::make_unique<SingleGroup>();
  }
  [[nodiscard]] std::unique_ptr<Mailbox> do_open_mailbox() override {
    return std::make_unique<NoMailbox>();
  }
  [[noreturn]] void do_abort(int exit_code) override {
    std::fflush(nullptr);
    std::_Exit(exit_code);
  }

  static void refuse(int peer) {  // the public calls have refused it before
    FS_CHECK(false, "a group of one has no rank " + std::to_string(peer));
  }
};

}  // namespace

std::unique_ptr<Group> make_single_group() {
  return std::make_unique<SingleGroup>();
}

}  // namespace finescale
