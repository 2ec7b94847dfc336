// SPDX-License-Identifier: Apache-2.0
#include "comm/watchdog.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <thread>
#include <utility>

#include "comm/hang.h"
#include "core/error.h"
#include "core/host_name.h"

namespace finescale {

namespace {

using Clock = std::chrono::steady_clock;

constexpr int kNumCollectors = 3;  // ranks that are asked to judge before one does it alone

enum class MessageKind : std::uint8_t { kHung, kQuestion, kAnswer };

Clock::duration seconds(double value) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(value));
}

// Host and process of every rank. Collective over world.
std::vector<RankState> make_states(Group& world) {
  struct Identity {
    std::array<char, 64> host;
    int pid;
  };
  const auto size = static_cast<std::size_t>(world.size());
  Identity mine{};
  host_name().copy(mine.host.data(), mine.host.size() - 1);
  mine.pid = getpid();
  std::vector<Identity> all(size);
  std::vector<std::size_t> offsets(size + 1);
  for (std::size_t i = 0; i <= size; ++i) {
    offsets[i] = i * sizeof(Identity);
  }
  world.all_gather(std::as_bytes(std::span(&mine, 1)), std::as_writable_bytes(std::span(all)),
                   offsets);
  std::vector<RankState> states(size);
  for (std::size_t i = 0; i < size; ++i) {
    states[i].identity = {all[i].host.data(), all[i].pid};
  }
  return states;
}

}  // namespace

class Watchdog::Impl {
 public:
  Impl(Group& world, WatchdogOptions options)
      : world_(world),
        options_(std::move(options)),
        states_(make_states(world)),
        mailbox_(world.open_mailbox()),
        thread_([this](const std::stop_token& stop) { watch(stop); }) {}

 private:
  void watch(const std::stop_token& stop) {
    // Often enough that a report is late by a twentieth of the timeout at most.
    const auto pause = seconds(std::clamp(options_.timeout_s / 20, 0.01, 0.25));
    std::mutex mutex;
    std::condition_variable_any never;
    std::unique_lock lock(mutex);
    try {
      while (!stop.stop_requested()) {
        const Clock::time_point now = Clock::now();
        read_mail(now);
        if (!ended_) {
          look_at_own_calls(now);
          judge_when_answered(now);
        }
        never.wait_for(lock, stop, pause, [] { return false; });
      }
    } catch (const std::exception& error) {  // the job goes on unwatched
      std::fprintf(stderr, "rank %d: its watchdog ends: %s\n", world_.rank(), error.what());
    }
  }

  void read_mail(Clock::time_point now) {
    while (const auto message = mailbox_->poll()) {
      const std::span<const std::byte> bytes = message->bytes;
      if (bytes.empty()) {
        continue;
      }
      switch (static_cast<MessageKind>(bytes[0])) {
        case MessageKind::kHung:
          ask_all(now);
          break;
        case MessageKind::kQuestion:
          post(message->from, MessageKind::kAnswer, encode(world_.monitor().report()));
          break;
        case MessageKind::kAnswer:
          states_[static_cast<std::size_t>(message->from)].report = decode_report(bytes.subspan(1));
          break;
      }
    }
  }

  // A hung rank turns to one rank after another, itself in the end.
  void look_at_own_calls(Clock::time_point now) {
    if (world_.monitor().longest_wait_s() < options_.timeout_s) {
      num_turns_ = 0;
      next_turn_ = now;
      return;
    }
    if (now < next_turn_) {
      return;
    }
    const int collector =
        num_turns_ < std::min(kNumCollectors, world_.size()) ? num_turns_ : world_.rank();
    ++num_turns_;
    next_turn_ = now + seconds(2 * options_.answer_s);  // it asks for answer_s, then ends the job
    if (collector == world_.rank()) {
      ask_all(now);
    } else {
      post(collector, MessageKind::kHung, {});
    }
  }

  void ask_all(Clock::time_point now) {
    if (asking_ || ended_) {
      return;
    }
    asking_ = true;
    deadline_ = now + seconds(options_.answer_s);
    for (int rank = 0; rank < world_.size(); ++rank) {
      states_[static_cast<std::size_t>(rank)].report.reset();
      if (rank != world_.rank()) {
        post(rank, MessageKind::kQuestion, {});
      }
    }
  }

  void judge_when_answered(Clock::time_point now) {
    if (!asking_) {
      return;
    }
    RankState& mine = states_[static_cast<std::size_t>(world_.rank())];
    mine.report = world_.monitor().report();
    const bool all_answered = std::all_of(states_.begin(), states_.end(), [](const RankState& one) {
      return one.report.has_value();
    });
    if (!all_answered && now < deadline_) {
      return;
    }
    asking_ = false;
    // Nothing: the calls have ended in the meantime.
    if (const auto message = describe_hang(states_, options_.timeout_s)) {
      ended_ = true;
      end_job(*message);
    }
  }

  void end_job(const std::string& message) {
    if (options_.end_job) {
      options_.end_job(message);
      return;
    }
    std::fprintf(stderr, "%s\n", message.c_str());
    std::fflush(nullptr);
    world_.abort(exit_code(ErrorKind::kComm));
  }

  void post(int to, MessageKind kind, const std::vector<std::byte>& payload) {
    std::vector<std::byte> bytes(1, static_cast<std::byte>(kind));
    bytes.insert(bytes.end(), payload.begin(), payload.end());
    mailbox_->post(to, bytes);
  }

  Group& world_;
  WatchdogOptions options_;
  std::vector<RankState> states_;  // as answered last; by rank
  std::unique_ptr<Mailbox> mailbox_;
  // Of a hung rank: how many ranks it has turned to.
  int num_turns_ = 0;
  Clock::time_point next_turn_;
  // Of a rank that was turned to.
  bool asking_ = false;
  bool ended_ = false;
  Clock::time_point deadline_;
  std::jthread thread_;  // last: it uses the members above
};

Watchdog::Watchdog(Group& world, WatchdogOptions options) {
  if (options.timeout_s > 0) {
    impl_ = std::make_unique<Impl>(world, std::move(options));
  }
}

Watchdog::~Watchdog() = default;

}  // namespace finescale
