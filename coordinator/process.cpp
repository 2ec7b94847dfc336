// SPDX-License-Identifier: Apache-2.0
#include "coordinator/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <utility>

#include "core/descriptor.h"
#include "core/error.h"

namespace finescale {

namespace {

std::pair<Descriptor, Descriptor> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    throw Error(ErrorKind::kResource, "cannot make a pipe");
  }
  return {Descriptor(ends[0]), Descriptor(ends[1])};
}

using Seconds = std::chrono::duration<double>;
using SteadyClock = std::chrono::steady_clock;

constexpr std::size_t kMaxErrors = 65536;  // bytes of standard error that are kept

// Whether the stream is still open after what is there now was read.
bool read_some(int descriptor, std::string& into, std::size_t limit) {
  std::array<char, 65536> buffer{};
  const ssize_t count = ::read(descriptor, buffer.data(), buffer.size());
  if (count <= 0) {
    return count < 0 && errno == EINTR;
  }
  const std::size_t room = limit == 0 ? buffer.size() : limit - std::min(limit, into.size());
  into.append(buffer.data(), std::min(static_cast<std::size_t>(count), room));
  return true;
}

// A started program and our ends of its pipes.
struct Child {
  pid_t pid = 0;
  Descriptor in;
  Descriptor out;
  Descriptor err;
};

// Feeds and reads the child until it closes its output; false when the time is over first.
bool talk(Child& child, const ProcessOptions& options, ProcessOutput& result) {
  const SteadyClock::time_point begin = SteadyClock::now();
  std::size_t written = 0;
  while (child.out || child.err) {
    int wait_ms = -1;
    if (options.timeout_s > 0) {
      const double left = options.timeout_s - Seconds(SteadyClock::now() - begin).count();
      if (left <= 0) {
        return false;
      }
      wait_ms = static_cast<int>(left * 1000) + 1;
    }
    if (written == options.input.size()) {
      child.in.reset();
    }
    std::array<pollfd, 3> events = {pollfd{child.out.get(), POLLIN, 0},
                                    pollfd{child.in.get(), POLLOUT, 0},
                                    pollfd{child.err.get(), POLLIN, 0}};  // -1 is passed over
    if (::poll(events.data(), events.size(), wait_ms) < 0) {
      if (errno != EINTR) {
        return true;
      }
      continue;
    }
    if ((events[1].revents & (POLLOUT | POLLERR)) != 0) {
      const ssize_t count =
          ::write(child.in.get(), options.input.data() + written, options.input.size() - written);
      written = count < 0 ? options.input.size() : written + static_cast<std::size_t>(count);
    }
    if ((events[0].revents & (POLLIN | POLLHUP)) != 0 &&
        !read_some(child.out.get(), result.out, options.max_output)) {
      child.out.reset();
    }
    if ((events[2].revents & (POLLIN | POLLHUP)) != 0 &&
        !read_some(child.err.get(), result.err, kMaxErrors)) {
      child.err.reset();
    }
  }
  return true;
}

bool start_child(const std::vector<std::string>& arguments, bool keep_errors, Child& child) {
  auto [in_read, in_write] = make_pipe();
  auto [out_read, out_write] = make_pipe();
  auto [err_read, err_write] = make_pipe();
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, in_read.get(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&files, out_write.get(), STDOUT_FILENO);
  if (keep_errors) {
    posix_spawn_file_actions_adddup2(&files, err_write.get(), STDERR_FILENO);
  }
  std::vector<std::string> texts = arguments;
  std::vector<char*> argv;
  argv.reserve(texts.size() + 1);
  for (std::string& text : texts) {
    argv.push_back(text.data());
  }
  argv.push_back(nullptr);
  const int code = ::posix_spawnp(&child.pid, argv[0], &files, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  child.in = std::move(in_write);
  child.out = std::move(out_read);
  if (keep_errors) {
    child.err = std::move(err_read);
  }
  return code == 0;
}

}  // namespace

ProcessOutput run_process(const std::vector<std::string>& arguments,
                          const ProcessOptions& options) {
  Child child;
  if (!start_child(arguments, options.keep_errors, child)) {
    return {127, "", ""};
  }
  ::signal(SIGPIPE, SIG_IGN);  // a child that does not read its input is not our end
  ProcessOutput result;
  const bool in_time = talk(child, options, result);
  child.in.reset();
  if (!in_time) {
    ::kill(child.pid, SIGKILL);
  }
  int status = 0;
  while (::waitpid(child.pid, &status, 0) < 0 && errno == EINTR) {
  }
  result.code = !in_time            ? kTimedOut
                : WIFEXITED(status) ? WEXITSTATUS(status)
                                    : 128 + WTERMSIG(status);
  return result;
}

ProcessOutput run_process(const std::vector<std::string>& arguments, const std::string& input) {
  ProcessOptions options;
  options.input = input;
  return run_process(arguments, options);
}

}  // namespace finescale
