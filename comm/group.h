// SPDX-License-Identifier: Apache-2.0
// A process group: the ranks that meet in a collective. Backends: mpi/ (processes), local/
// (threads, for tests), nccl/. Every call is collective over the group unless it says otherwise.
//
// Threads: several threads of a rank may be in calls at once, in collectives of different groups
// and in sends and receives of any. Collectives of one group are issued in one order on all ranks,
// so one thread at a time (a second one throws). Every call notes its source line, which the
// watchdog and the trace show.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "comm/mailbox.h"
#include "comm/monitor.h"
#include "comm/where.h"

namespace finescale {

class Group {
 public:
  virtual ~Group();
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  [[nodiscard]] int rank() const noexcept { return rank_; }
  [[nodiscard]] int size() const noexcept { return size_; }
  [[nodiscard]] const std::string& name() const noexcept { return record_.name; }

  void barrier(Where where = Where::here());
  void broadcast(void* data, std::size_t size_bytes, int root, Where where = Where::here());
  // Sends send[r] to rank r and receives into receive[r]; counts in bytes may differ per pair.
  // Point-to-point order of completion never changes a result.
  void all_to_all(std::span<const std::span<const std::byte>> send,
                  std::span<const std::span<std::byte>> receive, Where where = Where::here());
  // Concatenation of every rank's part, in rank order; offsets_bytes has size()+1 entries.
  void all_gather(std::span<const std::byte> part, std::span<std::byte> whole,
                  std::span<const std::size_t> offsets_bytes, Where where = Where::here());

  // Point to point, not collective. A send may wait for its receive (it always does in local/).
  // Messages match by sender and tag, whatever the order of tags; those of one sender and tag
  // arrive in the order of their sends, which one thread issues. Sizes must agree. Tags: 0 to
  // kMaxTag. Not to the rank itself.
  static constexpr int kMaxTag = (1 << 30) - 1;
  void send(std::span<const std::byte> bytes, int to, int tag, Where where = Where::here());
  void receive(std::span<std::byte> bytes, int from, int tag, Where where = Where::here());

  // New group of the ranks with the same color, ordered by key, known by `name` in messages (empty:
  // made from this group's name). Collective over this group.
  [[nodiscard]] std::unique_ptr<Group> split(int color, int key, std::string name = "",
                                             Where where = Where::here());
  [[nodiscard]] std::unique_ptr<Mailbox> open_mailbox(Where where = Where::here());
  // Ends every rank of the job at once with this exit code. Not collective.
  [[noreturn]] void abort(int exit_code);

  // Conveniences built on the above.
  void broadcast(std::string& text, int root, Where where = Where::here());
  [[nodiscard]] double max(double value, Where where = Where::here());
  [[nodiscard]] std::int64_t sum(std::int64_t value, Where where = Where::here());
  [[nodiscard]] bool any(bool value, Where where = Where::here());

  // Payload that this rank handed to other ranks: what it sent and its spans of all_to_all, its
  // part of all_gather and the data of its broadcasts once for each other rank. Any thread.
  [[nodiscard]] std::uint64_t bytes_sent() const noexcept {
    return record_.bytes_sent.load(std::memory_order_relaxed);
  }
  // What this rank does in all groups of its world. Lives as long as any of them.
  [[nodiscard]] CommMonitor& monitor() const noexcept { return *monitor_; }

 protected:
  // A world of its own, until split() makes it a part of another.
  Group(int rank, int size);
  // The same ranks of the same world, for what travels another way.
  explicit Group(const Group* same_ranks);

 private:
  friend class NcclGroup;  // what lies in the host's memory it gives to such a group

  virtual void do_barrier() = 0;
  virtual void do_broadcast(void* data, std::size_t size_bytes, int root) = 0;
  virtual void do_all_to_all(std::span<const std::span<const std::byte>> send,
                             std::span<const std::span<std::byte>> receive) = 0;
  virtual void do_all_gather(std::span<const std::byte> part, std::span<std::byte> whole,
                             std::span<const std::size_t> offsets_bytes) = 0;
  virtual void do_send(std::span<const std::byte> bytes, int to, int tag) = 0;
  virtual void do_receive(std::span<std::byte> bytes, int from, int tag) = 0;
  [[nodiscard]] virtual std::unique_ptr<Group> do_split(int color, int key) = 0;
  [[nodiscard]] virtual std::unique_ptr<Mailbox> do_open_mailbox() = 0;
  [[noreturn]] virtual void do_abort(int exit_code) = 0;

  [[nodiscard]] Call collective(const char* operation, std::uint64_t bytes, Where where);
  [[nodiscard]] Call message(const char* operation, CallKind kind, int peer, int tag, Where where);
  void gather_words();

  union Word {  // what max and sum gather
    double real;
    std::int64_t integer;
  };

  int rank_;
  int size_;
  // shared: the groups of one world end in any order.
  std::shared_ptr<CommMonitor> monitor_;
  GroupRecord record_;
  // One word of every rank, kept: no allocation per call. Used inside of a collective only.
  std::vector<std::size_t> word_offsets_;
  std::vector<Word> words_;
};

[[nodiscard]] std::unique_ptr<Group> make_single_group();  // one rank, no library

}  // namespace finescale
