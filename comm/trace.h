// SPDX-License-Identifier: Apache-2.0
// A timeline of a run as Chrome trace JSON (chrome://tracing, ui.perfetto.dev): one process per
// rank, one row per thread, spans of every call of a Group (with group, bytes and source line) and
// of what TraceSpan encloses. Each rank writes a file of its own, which rank 0 merges at the end.
// Off unless a Trace exists; then all threads of the rank may add to it.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace finescale {

class Group;
struct Call;

class Trace {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // Opens `path`.rank<r> and traces the groups of this world from now on; time zero is when all
  // ranks are here. `world` must outlive the trace. Collective over world.
  Trace(Group& world, std::string path);
  ~Trace();  // without finish() the files of the ranks remain: each can be looked at
  Trace(const Trace&) = delete;
  Trace& operator=(const Trace&) = delete;

  // Ends the trace and merges the files of the ranks into `path`, which rank 0 must see. No other
  // thread may be in a call. Throws kIo. Collective over world.
  void finish();

  // `index` < 0: none. A failure to write is kept for finish().
  void add_span(std::string_view name, std::int64_t index, Time begin, Time end) noexcept;
  // The same, and the span is time that its thread waited for communication.
  void add_wait(std::string_view name, std::int64_t index, Time begin, Time end) noexcept;
  void add_call(const Call& call, Time end) noexcept;
  void name_thread(std::string_view name) noexcept;  // the calling one

  // What the thread that made the trace has spent in calls of groups and in waits since then.
  [[nodiscard]] double waited_s() const;
  // Sums over spans of a step: how long they lasted, and how long that thread waited in them.
  struct StepTime {
    double seconds = 0;
    double waited_s = 0;
  };
  void add_step(const StepTime& step) noexcept;
  [[nodiscard]] StepTime steps() const;

 private:
  struct FileCloser {
    void operator()(std::FILE* file) const noexcept { std::fclose(file); }
  };
  struct Event {
    std::array<char, 48> name;
    std::array<char, 24> group;   // empty: not a call
    std::array<char, 40> source;  // file name
    int line;
    int peer;
    int thread;
    std::int64_t index;  // or sequence number of a call
    std::uint64_t bytes;
    Time begin;
    Time end;
  };

  [[nodiscard]] Event& next_event(Time begin, Time end);
  void flush();
  void write_event(const Event& event);
  void count_wait(const Event& event) noexcept;
  void write_name(std::string_view what, std::string_view name, int thread);
  [[nodiscard]] std::string file_of(int rank) const;
  void close();
  void merge() const;

  Group& world_;
  std::string path_;
  mutable std::mutex mutex_;
  std::unique_ptr<std::FILE, FileCloser> file_;
  std::vector<Event> events_;  // written out when full: no allocation while tracing
  bool failed_ = false;
  Time origin_;
  int main_thread_;
  Time::duration waited_{};
  StepTime steps_;
};

// The time of a scope; `name` must live until its end. Costs one comparison when `trace` is null.
class TraceSpan {
 public:
  TraceSpan(Trace* trace, const char* name, std::int64_t index = -1)
      : trace_(trace), name_(name), index_(index) {
    if (trace_ != nullptr) {
      begin_ = std::chrono::steady_clock::now();
    }
  }
  ~TraceSpan() {
    if (trace_ != nullptr) {
      trace_->add_span(name_, index_, begin_, std::chrono::steady_clock::now());
    }
  }
  TraceSpan(const TraceSpan&) = delete;
  TraceSpan& operator=(const TraceSpan&) = delete;

 private:
  Trace* trace_;
  const char* name_;
  std::int64_t index_;
  Trace::Time begin_;
};

// A TraceSpan of a training step, counted by Trace::steps. For the thread that made the trace.
class TraceStep {
 public:
  TraceStep(Trace* trace, std::int64_t index)
      : trace_(trace), span_(trace, "step", index), waited_s_(trace ? trace->waited_s() : 0) {}
  ~TraceStep() {
    if (trace_ != nullptr) {
      const auto time = std::chrono::steady_clock::now() - begin_;
      trace_->add_step(
          {std::chrono::duration<double>(time).count(), trace_->waited_s() - waited_s_});
    }
  }
  TraceStep(const TraceStep&) = delete;
  TraceStep& operator=(const TraceStep&) = delete;

 private:
  Trace* trace_;
  TraceSpan span_;
  double waited_s_;
  Trace::Time begin_ = std::chrono::steady_clock::now();
};

}  // namespace finescale
