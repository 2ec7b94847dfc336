// SPDX-License-Identifier: Apache-2.0
#include "coordinator/launchers/gang_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include "core/error.h"
#include "core/process_state.h"

namespace finescale {

namespace {

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  out.reserve(texts.size() + 1);
  for (std::string& text : texts) {
    out.push_back(text.data());
  }
  out.push_back(nullptr);
  return out;
}

// Arguments in a row, as /proc/PID/cmdline has them.
std::string command_line(const std::vector<std::string>& arguments) {
  std::string text;
  for (const std::string& argument : arguments) {
    text.append(argument).push_back('\0');
  }
  return text;
}

}  // namespace

std::string end_of_log(const std::string& log_file) {
  constexpr std::streamoff kLength = 16384;
  std::ifstream in(log_file, std::ios::binary | std::ios::ate);
  if (!in) {
    return {};
  }
  in.seekg(std::max<std::streamoff>(0, in.tellg() - kLength));
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::string find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) {
    return ::access(name.c_str(), X_OK) == 0 ? name : "";
  }
  const char* path = std::getenv("PATH");
  std::istringstream places(path == nullptr ? "" : path);
  for (std::string place; std::getline(places, place, ':');) {
    std::string candidate = place;
    candidate.append("/").append(name);
    if (::access(candidate.c_str(), X_OK) == 0) {
      return candidate;
    }
  }
  return "";
}

std::vector<std::string> worker_arguments(const GangLaunch& launch) {
  return {worker_program(),
          "--campaign",
          launch.campaign,
          "--gang",
          std::to_string(launch.gang),
          "--threads",
          std::to_string(launch.threads),
          "--device",
          launch.device,
          "--orphan-timeout",
          std::to_string(launch.orphan_timeout),
          "--hang-timeout",
          std::to_string(launch.hang_timeout)};
}

std::map<std::string, std::string> gang_settings() {
  // Without yielding, oversubscribed ranks take milliseconds for a small allreduce; romio writes
  // HDF5 steadily.
  return {{"OMPI_MCA_mpi_yield_when_idle", "1"},
          {"OMPI_MCA_rmaps_base_oversubscribe", "1"},
          {"OMPI_MCA_hwloc_base_binding_policy", "none"},
          {"OMPI_MCA_io", "romio321"},
          {"OMPI_MCA_oob_tcp_keepalive_time", "10"},
          {"OMPI_MCA_oob_tcp_keepalive_intvl", "2"},
          {"OMPI_MCA_oob_tcp_keepalive_probes", "3"},
          {"OMPI_MCA_btl_vader_single_copy_mechanism", "none"},
          {"GOMP_SPINCOUNT", "10000"}};  // as limit_spinning has it, without starting twice
}

std::map<std::string, std::string> gang_requirements(const GangLaunch& launch) {
  std::map<std::string, std::string> variables = {
      {"OMP_NUM_THREADS", std::to_string(launch.threads)}};
  if (::geteuid() == 0) {
    variables["OMPI_ALLOW_RUN_AS_ROOT"] = "1";
    variables["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] = "1";
  }
  return variables;
}

std::vector<std::string> gang_environment(const GangLaunch& launch) {
  std::map<std::string, std::string> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const std::size_t equals = text.find('=');
    variables[text.substr(0, equals)] = text.substr(equals + 1);
  }
  const std::map<std::string, std::string> settings = gang_settings();
  variables.insert(settings.begin(), settings.end());  // what the user set stays
  for (const auto& [name, value] : gang_requirements(launch)) {
    variables[name] = value;
  }
  std::vector<std::string> out;
  out.reserve(variables.size());
  for (const auto& [name, value] : variables) {
    out.push_back(std::string(name).append("=").append(value));
  }
  return out;
}

std::int64_t GangProcesses::start(const GangLaunch& launch, std::vector<std::string> arguments,
                                  std::vector<std::string> environment) {
  const std::string program = arguments.front();
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, launch.log_file.c_str(),
                                   O_WRONLY | O_CREAT | O_APPEND, 0644);
  posix_spawn_file_actions_adddup2(&files, STDOUT_FILENO, STDERR_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
  pid_t pid = 0;
  const int code = ::posix_spawn(&pid, program.c_str(), &files, &attributes,
                                 pointers(arguments).data(), pointers(environment).data());
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&attributes);
  if (code != 0) {
    throw Error(ErrorKind::kLaunch,
                std::string("cannot start ") + program + ": " + std::strerror(code));
  }
  gangs_[launch.gang] = {.pid = pid, .is_child = true, .log_file = launch.log_file};
  return pid;
}

bool GangProcesses::adopt(const GangLaunch& launch, std::int64_t pid) {
  if (!is_running(static_cast<pid_t>(pid))) {
    return false;
  }
  std::ifstream in("/proc/" + std::to_string(pid) + "/cmdline", std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  const std::string wanted =
      command_line({"--campaign", launch.campaign, "--gang", std::to_string(launch.gang)});
  if (text.str().find(wanted) == std::string::npos) {
    return false;
  }
  gangs_[launch.gang] = {.pid = static_cast<pid_t>(pid), .is_child = false, .log_file = {}};
  return true;
}

std::vector<GangExit> GangProcesses::ended() {
  std::vector<GangExit> out;
  for (auto it = gangs_.begin(); it != gangs_.end();) {
    const Process& process = it->second;
    int status = 0;
    const bool gone = process.is_child ? ::waitpid(process.pid, &status, WNOHANG) == process.pid
                                       : !is_running(process.pid);
    if (!gone) {
      ++it;
      continue;
    }
    const int code = !process.is_child   ? -1
                     : WIFEXITED(status) ? WEXITSTATUS(status)
                                         : 128 + WTERMSIG(status);
    out.push_back({it->first, code, code == 0 ? "" : exit_reason(end_of_log(process.log_file))});
    it = gangs_.erase(it);
  }
  return out;
}

void GangProcesses::kill_left_over(double patience_s) {
  constexpr double kBetweenLooks = 0.5;
  const double now = clock_.now();
  if (now - looked_at_s_ < kBetweenLooks) {
    return;
  }
  looked_at_s_ = now;
  for (auto& [gang, process] : gangs_) {
    if (!all_children_ended(process.pid)) {
      process.left_over_since_s = -1;
    } else if (process.left_over_since_s < 0) {
      process.left_over_since_s = now;
    } else if (now - process.left_over_since_s >= patience_s) {
      ::kill(-process.pid, SIGKILL);
    }
  }
}

void GangProcesses::signal(std::int64_t gang, int signal) const {
  if (const auto found = gangs_.find(gang); found != gangs_.end()) {
    ::kill(-found->second.pid, signal);
  }
}

}  // namespace finescale
