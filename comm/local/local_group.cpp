// SPDX-License-Identifier: Apache-2.0
#include "comm/local/local_group.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <numeric>
#include <thread>
#include <utility>
#include <vector>

#include "comm/local/meeting.h"
#include "core/error.h"

namespace finescale {

namespace {

class LocalMailbox final : public Mailbox {
 public:
  LocalMailbox(std::shared_ptr<LocalBoxes> boxes, int rank)
      : boxes_(std::move(boxes)), rank_(rank) {}
  void post(int to, std::span<const std::byte> bytes) override {
    const std::scoped_lock lock(boxes_->mutex);
    boxes_->inboxes[static_cast<std::size_t>(to)].push_back({rank_, {bytes.begin(), bytes.end()}});
  }
  [[nodiscard]] std::optional<Message> poll() override {
    const std::scoped_lock lock(boxes_->mutex);
    auto& inbox = boxes_->inboxes[static_cast<std::size_t>(rank_)];
    if (inbox.empty()) {
      return std::nullopt;
    }
    Message message = std::move(inbox.front());
    inbox.erase(inbox.begin());
    return message;
  }

 private:
  std::shared_ptr<LocalBoxes> boxes_;  // shared by its ranks, which end in any order
  int rank_;
};

class LocalGroup final : public Group {
 public:
  LocalGroup(std::shared_ptr<Meeting> meeting, int rank)
      : Group(rank, static_cast<int>(meeting->members().size())), meeting_(std::move(meeting)) {}

 private:
  void do_barrier() override { meeting_->wait(); }

  void do_broadcast(void* data, std::size_t size_bytes, int root) override {
    slot(rank()).data = data;
    meeting_->wait();
    if (rank() != root && size_bytes > 0) {
      std::memcpy(data, slot(root).data, size_bytes);
    }
    meeting_->wait();
  }

  void do_all_to_all(std::span<const std::span<const std::byte>> send,
                     std::span<const std::span<std::byte>> receive) override {
    slot(rank()).send = send;
    meeting_->wait();
    for (int from = 0; from < size(); ++from) {
      const auto theirs = slot(from).send[static_cast<std::size_t>(rank())];
      const auto mine = receive[static_cast<std::size_t>(from)];
      FS_CHECK(theirs.size() == mine.size(), "all_to_all: sizes of a pair of ranks differ");
      if (!mine.empty() && mine.data() != theirs.data()) {
        std::memcpy(mine.data(), theirs.data(), mine.size());
      }
    }
    meeting_->wait();
  }

  void do_all_gather(std::span<const std::byte> part, std::span<std::byte> whole,
                     std::span<const std::size_t> offsets_bytes) override {
    slot(rank()).part = part;
    meeting_->wait();
    for (int from = 0; from < size(); ++from) {
      const auto theirs = slot(from).part;
      const std::size_t begin = offsets_bytes[static_cast<std::size_t>(from)];
      const std::size_t end = offsets_bytes[static_cast<std::size_t>(from) + 1];
      FS_CHECK(theirs.size() == end - begin && end <= whole.size(),
               "all_gather: a part does not fit its offsets");
      if (!theirs.empty() && whole.data() + begin != theirs.data()) {
        std::memcpy(whole.data() + begin, theirs.data(), theirs.size());
      }
    }
    meeting_->wait();
  }

  void do_send(std::span<const std::byte> bytes, int to, int tag) override {
    meeting_->send(bytes, rank(), to, tag);
  }
  void do_receive(std::span<std::byte> bytes, int from, int tag) override {
    meeting_->receive(bytes, from, rank(), tag);
  }

  [[nodiscard]] std::unique_ptr<Group> do_split(int color, int key) override {
    slot(rank()).color = color;
    slot(rank()).key = key;
    meeting_->wait();
    std::vector<std::pair<int, int>> order;  // key, rank of the ranks with my color
    for (int other = 0; other < size(); ++other) {
      if (slot(other).color == color) {
        order.emplace_back(slot(other).key, other);
      }
    }
    std::sort(order.begin(), order.end());
    if (order.front().second == rank()) {
      std::vector<int> members;
      members.reserve(order.size());
      for (const auto& [unused, other] : order) {
        members.push_back(meeting_->members()[static_cast<std::size_t>(other)]);
      }
      slot(rank()).child = std::make_shared<Meeting>(meeting_->job(), std::move(members));
    }
    meeting_->wait();
    auto child = slot(order.front().second).child;
    const auto mine = std::find(order.begin(), order.end(), std::pair{key, rank()});
    meeting_->wait();
    slot(rank()).child.reset();
    return std::make_unique<LocalGroup>(std::move(child), static_cast<int>(mine - order.begin()));
  }

  [[nodiscard]] std::unique_ptr<Mailbox> do_open_mailbox() override {
    return std::make_unique<LocalMailbox>(meeting_->boxes(num_mailboxes_++), rank());
  }

  // Threads cannot be ended from outside: the exception ends this rank and run_local_ranks releases
  // the others.
  [[noreturn]] void do_abort(int exit_code) override {
    throw Error(ErrorKind::kComm, "rank " + std::to_string(rank()) + " aborted with exit code " +
                                      std::to_string(exit_code));
  }

  [[nodiscard]] Meeting::Slot& slot(int rank) const { return meeting_->slot(rank); }

  std::shared_ptr<Meeting> meeting_;  // shared by the threads of its ranks, which end in any order
  std::uint64_t num_mailboxes_ = 0;
};

// The life of one rank. Its error is kept unless another rank failed before.
void run_rank(LocalJob& job, const std::shared_ptr<Meeting>& world, int rank,
              const std::function<void(Group&)>& body, std::exception_ptr& first) {
  std::exception_ptr error;
  bool failed = false;
  try {
    LocalGroup group(world, rank);
    body(group);
  } catch (const ReleasedByFailure&) {
    failed = true;
  } catch (...) {
    failed = true;
    error = std::current_exception();
  }
  const std::scoped_lock lock(job.mutex);
  if (error && !first) {
    first = error;
  }
  job.failed = job.failed || failed;
  job.left[static_cast<std::size_t>(rank)] = true;
  job.changed.notify_all();
}

}  // namespace

void run_local_ranks(int ranks, const std::function<void(Group&)>& body) {
  LocalJob job(ranks);
  std::vector<int> members(static_cast<std::size_t>(ranks));
  std::iota(members.begin(), members.end(), 0);
  const auto world = std::make_shared<Meeting>(&job, std::move(members));
  std::exception_ptr first;  // guarded by job.mutex
  {
    std::vector<std::jthread> threads;
    threads.reserve(static_cast<std::size_t>(ranks));
    for (int rank = 0; rank < ranks; ++rank) {
      threads.emplace_back([&, rank] { run_rank(job, world, rank, body, first); });
    }
  }
  if (first) {
    std::rethrow_exception(first);
  }
}

}  // namespace finescale
