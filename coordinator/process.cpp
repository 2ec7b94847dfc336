// SPDX-License-Identifier: Apache-2.0
#include "coordinator/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "core/error.h"
#include "core/unique_handle.h"

namespace finescale {

namespace {

struct DescriptorTraits {
  using Handle = int;
  static Handle invalid() noexcept { return -1; }
  static void destroy(Handle handle) noexcept { ::close(handle); }
};
using Descriptor = UniqueHandle<DescriptorTraits>;

std::pair<Descriptor, Descriptor> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    throw Error(ErrorKind::kResource, "cannot make a pipe");
  }
  return {Descriptor(ends[0]), Descriptor(ends[1])};
}

}  // namespace

ProcessOutput run_process(const std::vector<std::string>& arguments, const std::string& input) {
  auto [in_read, in_write] = make_pipe();
  auto [out_read, out_write] = make_pipe();
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, in_read.get(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&files, out_write.get(), STDOUT_FILENO);
  std::vector<std::string> texts = arguments;
  std::vector<char*> argv;
  argv.reserve(texts.size() + 1);
  for (std::string& text : texts) {
    argv.push_back(text.data());
  }
  argv.push_back(nullptr);
  pid_t pid = 0;
  const int code = ::posix_spawnp(&pid, argv[0], &files, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  if (code != 0) {
    return {127, ""};
  }
  in_read.reset();
  out_write.reset();
  ProcessOutput result;
  std::size_t written = 0;
  ::signal(SIGPIPE, SIG_IGN);  // a child that does not read its input is not our end
  for (;;) {
    std::array<pollfd, 2> events = {pollfd{out_read.get(), POLLIN, 0},
                                    pollfd{in_write.get(), POLLOUT, 0}};
    if (written == input.size()) {
      in_write.reset();
      events[1].fd = -1;
    }
    if (::poll(events.data(), events.size(), -1) < 0 && errno != EINTR) {
      break;
    }
    if ((events[1].revents & (POLLOUT | POLLERR)) != 0) {
      const ssize_t count = ::write(in_write.get(), input.data() + written, input.size() - written);
      written = count < 0 ? input.size() : written + static_cast<std::size_t>(count);
    }
    if ((events[0].revents & (POLLIN | POLLHUP)) != 0) {
      std::array<char, 65536> buffer{};
      const ssize_t count = ::read(out_read.get(), buffer.data(), buffer.size());
      if (count <= 0) {
        break;
      }
      result.out.append(buffer.data(), static_cast<std::size_t>(count));
    }
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  result.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

}  // namespace finescale
