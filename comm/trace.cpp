// SPDX-License-Identifier: Apache-2.0
#include "comm/trace.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "comm/group.h"
#include "comm/together.h"
#include "core/error.h"
#include "core/files.h"
#include "core/host_name.h"

namespace finescale {

namespace {

constexpr std::size_t kBufferedEvents = 8192;  // 2 MB

template <std::size_t N>
void copy_text(std::array<char, N>& to, std::string_view text) noexcept {
  to[text.copy(to.data(), N - 1)] = '\0';
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
    }
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out + '"';
}

double microseconds(std::chrono::steady_clock::duration time) {
  return std::chrono::duration<double, std::micro>(time).count();
}

std::unique_ptr<std::FILE, void (*)(std::FILE*)> open_file(const std::string& path,
                                                           const char* mode) {
  std::unique_ptr<std::FILE, void (*)(std::FILE*)> file(std::fopen(path.c_str(), mode),
                                                        [](std::FILE* f) { std::fclose(f); });
  if (!file) {
    throw Error(ErrorKind::kIo, "cannot open: " + std::string(std::strerror(errno)), path);
  }
  return file;
}

}  // namespace

Trace::Trace(Group& world, std::string path)
    : world_(world), path_(std::move(path)), main_thread_(gettid()) {
  run_together(world_, [&] { file_.reset(open_file(file_of(world_.rank()), "w").release()); });
  events_.reserve(kBufferedEvents);
  std::fputs("[\n", file_.get());
  write_name("process_name", "rank " + std::to_string(world_.rank()) + " (" + host_name() + ")", 0);
  name_thread("main");
  world_.barrier();
  origin_ = std::chrono::steady_clock::now();
  world_.monitor().set_trace(this);
}

Trace::~Trace() {
  if (file_) {
    world_.monitor().set_trace(nullptr);
    close();
  }
}

void Trace::finish() {
  world_.monitor().set_trace(nullptr);
  close();
  run_together(world_, [&] {
    if (failed_) {
      throw Error(ErrorKind::kIo, "could not be written whole", file_of(world_.rank()));
    }
  });
  run_together(world_, [&] {
    if (world_.rank() == 0) {
      merge();
    }
  });
}

void Trace::add_span(std::string_view name, std::int64_t index, Time begin, Time end) noexcept {
  const std::scoped_lock lock(mutex_);
  Event& event = next_event(begin, end);
  copy_text(event.name, name);
  event.index = index;
}

void Trace::add_wait(std::string_view name, std::int64_t index, Time begin, Time end) noexcept {
  const std::scoped_lock lock(mutex_);
  Event& event = next_event(begin, end);
  copy_text(event.name, name);
  event.index = index;
  count_wait(event);
}

void Trace::count_wait(const Event& event) noexcept {
  if (event.thread == main_thread_) {
    waited_ += event.end - event.begin;
  }
}

double Trace::waited_s() const {
  const std::scoped_lock lock(mutex_);
  return std::chrono::duration<double>(waited_).count();
}

void Trace::add_step(const StepTime& step) noexcept {
  const std::scoped_lock lock(mutex_);
  steps_.seconds += step.seconds;
  steps_.waited_s += step.waited_s;
}

Trace::StepTime Trace::steps() const {
  const std::scoped_lock lock(mutex_);
  return steps_;
}

void Trace::add_call(const Call& call, Time end) noexcept {
  const std::scoped_lock lock(mutex_);
  Event& event = next_event(call.begin, end);
  copy_text(event.name, call.operation);
  copy_text(event.group, call.group->name);
  copy_text(event.source, call.where.file_name());
  event.line = call.where.line;
  event.peer = call.peer;
  event.index = static_cast<std::int64_t>(call.sequence);
  event.bytes = call.bytes;
  count_wait(event);
}

void Trace::name_thread(std::string_view name) noexcept {
  const std::scoped_lock lock(mutex_);
  write_name("thread_name", name, gettid());
}

// The vector never grows beyond what the constructor reserved.
Trace::Event& Trace::next_event(Time begin, Time end) {
  if (events_.size() == kBufferedEvents) {
    flush();
  }
  Event& event = events_.emplace_back();
  event.thread = gettid();
  event.begin = begin;
  event.end = end;
  return event;
}

void Trace::flush() {
  for (const Event& event : events_) {
    write_event(event);
  }
  events_.clear();
}

void Trace::write_event(const Event& event) {
  const bool is_call = event.group[0] != '\0';
  const bool written =
      std::fprintf(file_.get(),
                   ",\n{\"name\":%s,\"cat\":\"%s\",\"ph\":\"X\",\"ts\":%.3f,\"dur\":%.3f,"
                   "\"pid\":%d,\"tid\":%d",
                   quoted(event.name.data()).c_str(), is_call ? "comm" : "compute",
                   microseconds(event.begin - origin_), microseconds(event.end - event.begin),
                   world_.rank(), event.thread) > 0;
  failed_ = failed_ || !written;
  if (is_call) {
    std::fprintf(
        file_.get(),
        ",\"args\":{\"group\":%s,\"bytes\":%llu,\"sequence\":%lld,\"peer\":%d,"
        "\"source\":%s}}",
        quoted(event.group.data()).c_str(), static_cast<unsigned long long>(event.bytes),
        static_cast<long long>(event.index), event.peer,
        quoted(std::string(event.source.data()) + ":" + std::to_string(event.line)).c_str());
  } else if (event.index >= 0) {
    std::fprintf(file_.get(), ",\"args\":{\"index\":%lld}}", static_cast<long long>(event.index));
  } else {
    std::fputs("}", file_.get());
  }
}

// The first event of a file is the name of the process, so every other one begins with a comma.
void Trace::write_name(std::string_view what, std::string_view name, int thread) {
  std::fprintf(
      file_.get(), "%s{\"name\":%s,\"ph\":\"M\",\"pid\":%d,\"tid\":%d,\"args\":{\"name\":%s}}",
      thread == 0 ? "" : ",\n", quoted(what).c_str(), world_.rank(), thread, quoted(name).c_str());
}

std::string Trace::file_of(int rank) const {
  return path_ + ".rank" + std::to_string(rank);
}

void Trace::close() {
  const std::scoped_lock lock(mutex_);
  flush();
  std::fputs("\n]\n", file_.get());
  failed_ = std::ferror(file_.get()) != 0 || failed_;
  failed_ = std::fclose(file_.release()) != 0 || failed_;
}

void Trace::merge() const {
  const std::string beside = path_ + ".tmp";
  auto out = open_file(beside, "w");
  std::fputs("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n", out.get());
  for (int rank = 0; rank < world_.size(); ++rank) {
    const auto in = open_file(file_of(rank), "r");
    std::array<char, 4096> line;  // longer than any event
    bool first = true;
    while (std::fgets(line.data(), line.size(), in.get()) != nullptr) {
      if (line[0] == '{') {
        std::fputs(rank > 0 && first ? ",\n" : "", out.get());
        std::fputs(line.data(), out.get());
        first = false;
      }
    }
    if (std::ferror(in.get()) != 0) {
      throw Error(ErrorKind::kIo, "cannot be read", file_of(rank));
    }
  }
  std::fputs("]}\n", out.get());
  if (std::ferror(out.get()) != 0 || std::fclose(out.release()) != 0) {
    throw Error(ErrorKind::kIo, "could not be written whole", beside);
  }
  rename_durably(beside, path_);
  for (int rank = 0; rank < world_.size(); ++rank) {
    unlink(file_of(rank).c_str());
  }
}

}  // namespace finescale
