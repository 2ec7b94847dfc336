// SPDX-License-Identifier: Apache-2.0
#include "comm/local/local_group.h"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <mutex>
#include <numeric>
#include <thread>
#include <utility>
#include <vector>

#include "core/error.h"

namespace finescale {

namespace {

// Thrown in the ranks that wait when another rank failed: it ends them and is not itself reported.
struct ReleasedByFailure {};

// What all groups of one run share: a failure in any of them releases every rank, wherever it
// waits.
struct Job {
  explicit Job(int ranks) : left(static_cast<std::size_t>(ranks), false) {}
  std::mutex mutex;
  std::condition_variable changed;
  bool failed = false;
  std::vector<bool> left;  // by rank of the run: its body has returned
};

struct Meeting {  // one group
  Job* job = nullptr;
  std::vector<int> members;  // ranks of the run
  int arrived = 0;
  std::int64_t generation = 0;
  // Written by each rank in front of a barrier, read by the others behind it.
  struct Slot {
    const void* data = nullptr;
    std::span<const std::span<const std::byte>> send;
    std::span<const std::byte> part;
    int color = 0;
    int key = 0;
    std::shared_ptr<Meeting> child;  // shared: its ranks leave in any order
  };
  std::vector<Slot> slots;

  Meeting(Job* owner, std::vector<int> ranks)
      : job(owner), members(std::move(ranks)), slots(members.size()) {}

  void wait() {
    std::unique_lock lock(job->mutex);
    if (job->failed) {
      throw ReleasedByFailure{};
    }
    if (++arrived == static_cast<int>(members.size())) {
      arrived = 0;
      ++generation;
      job->changed.notify_all();
      return;
    }
    const std::int64_t mine = generation;
    const auto member_left = [&] {
      return std::any_of(members.begin(), members.end(), [&](int member) {
        return bool{job->left[static_cast<std::size_t>(member)]};
      });
    };
    job->changed.wait(lock, [&] { return generation != mine || job->failed || member_left(); });
    if (generation != mine) {
      return;
    }
    if (job->failed) {
      throw ReleasedByFailure{};
    }
    throw Error(ErrorKind::kComm, "a rank left while others wait for it in a collective");
  }
};

class LocalGroup final : public Group {
 public:
  LocalGroup(std::shared_ptr<Meeting> meeting, int rank)
      : meeting_(std::move(meeting)), rank_(rank) {}
  [[nodiscard]] int rank() const noexcept override { return rank_; }
  [[nodiscard]] int size() const noexcept override {
    return static_cast<int>(meeting_->members.size());
  }

  void barrier() override { meeting_->wait(); }

  void broadcast(void* data, std::size_t size_bytes, int root) override {
    slot(rank_).data = data;
    meeting_->wait();
    if (rank_ != root && size_bytes > 0) {
      std::memcpy(data, slot(root).data, size_bytes);
    }
    meeting_->wait();
  }

  void all_to_all(std::span<const std::span<const std::byte>> send,
                  std::span<const std::span<std::byte>> receive) override {
    FS_CHECK(std::cmp_equal(send.size(), size()) && std::cmp_equal(receive.size(), size()),
             "all_to_all needs one span per rank");
    slot(rank_).send = send;
    meeting_->wait();
    for (int from = 0; from < size(); ++from) {
      const auto theirs = slot(from).send[static_cast<std::size_t>(rank_)];
      const auto mine = receive[static_cast<std::size_t>(from)];
      FS_CHECK(theirs.size() == mine.size(), "all_to_all: sizes of a pair of ranks differ");
      if (!mine.empty() && mine.data() != theirs.data()) {
        std::memcpy(mine.data(), theirs.data(), mine.size());
      }
    }
    meeting_->wait();
  }

  void all_gather(std::span<const std::byte> part, std::span<std::byte> whole,
                  std::span<const std::size_t> offsets_bytes) override {
    FS_CHECK(std::cmp_equal(offsets_bytes.size(), size() + 1), "all_gather needs size()+1 offsets");
    slot(rank_).part = part;
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

  [[nodiscard]] std::unique_ptr<Group> split(int color, int key) override {
    slot(rank_).color = color;
    slot(rank_).key = key;
    meeting_->wait();
    std::vector<std::pair<int, int>> order;  // key, rank of the ranks with my color
    for (int other = 0; other < size(); ++other) {
      if (slot(other).color == color) {
        order.emplace_back(slot(other).key, other);
      }
    }
    std::sort(order.begin(), order.end());
    if (order.front().second == rank_) {
      std::vector<int> members;
      members.reserve(order.size());
      for (const auto& [unused, other] : order) {
        members.push_back(meeting_->members[static_cast<std::size_t>(other)]);
      }
      slot(rank_).child = std::make_shared<Meeting>(meeting_->job, std::move(members));
    }
    meeting_->wait();
    auto child = slot(order.front().second).child;
    const auto mine = std::find(order.begin(), order.end(), std::pair{key, rank_});
    meeting_->wait();
    slot(rank_).child.reset();
    return std::make_unique<LocalGroup>(std::move(child), static_cast<int>(mine - order.begin()));
  }

  // Threads cannot be ended from outside: the exception ends this rank and run_local_ranks releases
  // the others.
  [[noreturn]] void abort(int exit_code) override {
    throw Error(ErrorKind::kComm, "rank " + std::to_string(rank_) + " aborted with exit code " +
                                      std::to_string(exit_code));
  }

 private:
  [[nodiscard]] Meeting::Slot& slot(int rank) const {
    return meeting_->slots[static_cast<std::size_t>(rank)];
  }

  std::shared_ptr<Meeting> meeting_;  // shared by the threads of its ranks, which end in any order
  int rank_;
};

// The life of one rank. Its error is kept unless another rank failed before.
void run_rank(Job& job, const std::shared_ptr<Meeting>& world, int rank,
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
  Job job(ranks);
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
