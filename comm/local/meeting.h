// SPDX-License-Identifier: Apache-2.0
// Where the threads of a local group meet: a barrier, letters that wait for their receiver, and
// mailboxes. A failure of any rank of the run releases every thread that waits here.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "comm/mailbox.h"

namespace finescale {

// Thrown in the ranks that wait when another rank failed: it ends them and is not itself reported.
struct ReleasedByFailure {};

// What all groups of one run share: a failure in any of them releases every rank, wherever it
// waits.
struct LocalJob {
  explicit LocalJob(int ranks) : left(static_cast<std::size_t>(ranks), false) {}
  std::mutex mutex;
  std::condition_variable changed;
  bool failed = false;
  std::vector<bool> left;  // by rank of the run: its body has returned
};

// Messages that wait for nobody, by receiving rank.
struct LocalBoxes {
  explicit LocalBoxes(std::size_t ranks) : inboxes(ranks) {}
  std::mutex mutex;
  std::vector<std::vector<Mailbox::Message>> inboxes;
};

class Meeting {  // one group
 public:
  // Written by each rank in front of a barrier, read by the others behind it.
  struct Slot {
    const void* data = nullptr;
    std::span<const std::span<const std::byte>> send;
    std::span<const std::byte> part;
    int color = 0;
    int key = 0;
    std::shared_ptr<Meeting> child;  // shared: its ranks leave in any order
  };

  Meeting(LocalJob* job, std::vector<int> members);  // ranks of the run
  [[nodiscard]] LocalJob* job() const noexcept { return job_; }
  [[nodiscard]] const std::vector<int>& members() const noexcept { return members_; }
  [[nodiscard]] Slot& slot(int rank) { return slots_[static_cast<std::size_t>(rank)]; }

  void wait();                                                             // for all members
  void send(std::span<const std::byte> bytes, int from, int to, int tag);  // until received
  void receive(std::span<std::byte> bytes, int from, int to, int tag);
  // The mailboxes that every rank opened as its number `index`. shared: ranks leave in any order.
  [[nodiscard]] std::shared_ptr<LocalBoxes> boxes(std::uint64_t index);

 private:
  struct Letter {  // on the stack of its sender
    std::span<const std::byte> bytes;
    int from = 0;
    int to = 0;
    int tag = 0;
    bool taken = false;
    bool fits = true;
  };
  [[nodiscard]] bool has_left(int rank) const;
  [[nodiscard]] Letter* find(int from, int to, int tag) const;

  LocalJob* job_;
  std::vector<int> members_;
  std::vector<Slot> slots_;
  // Guarded by the job's mutex.
  int arrived_ = 0;
  std::int64_t generation_ = 0;
  std::vector<Letter*> letters_;  // in the order of their sends
  std::map<std::uint64_t, std::shared_ptr<LocalBoxes>> boxes_;
};

}  // namespace finescale
