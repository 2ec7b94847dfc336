// SPDX-License-Identifier: Apache-2.0
#include "core/process_state.h"

#include <signal.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>

namespace finescale {

namespace {

// One letter of the process's state, as /proc has it; '\0': there is none.
char state_letter(int pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  std::getline(in, line);
  const std::size_t name_end = line.rfind(')');  // a name may hold anything
  return name_end != std::string::npos && name_end + 2 < line.size() ? line[name_end + 2] : '\0';
}

}  // namespace

bool is_running(int pid) {
  if (pid <= 0 || (::kill(pid, 0) != 0 && errno == ESRCH)) {
    return false;
  }
  const char state = state_letter(pid);
  return state != 'Z' && state != 'X';
}

bool all_children_ended(int pid) {
  bool has_children = false;
  std::error_code error;
  // Every thread of a process has a list of its own.
  for (const auto& thread :
       std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task", error)) {
    std::ifstream in(thread.path() / "children");
    for (int child = 0; in >> child;) {
      if (is_running(child)) {
        return false;
      }
      has_children = true;
    }
  }
  return has_children;
}

}  // namespace finescale
