// SPDX-License-Identifier: Apache-2.0
#include "core/crash_point.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <string>

#include "core/error.h"

namespace finescale {

namespace {

// Sorted. coordinator.* in the coordinator process, worker.* in a rank.
constexpr std::array<std::string_view, 22> kNames = {
    "coordinator.after_artifact_flush",
    "coordinator.after_commit_transaction",
    "coordinator.after_gang_launch",
    "coordinator.after_lease",
    "coordinator.after_plan",
    "coordinator.after_publish_artifact",
    "coordinator.after_search_decision",
    "coordinator.after_snapshot",
    "coordinator.after_store_created",
    "coordinator.after_tuning_decision",
    "coordinator.before_commit_transaction",
    "coordinator.before_lease",
    "coordinator.before_plan",
    "coordinator.before_publish_artifact",
    "worker.after_artifact_written",
    "worker.after_checkpoint",
    "worker.after_commit_reply",
    "worker.before_checkpoint_rename",
    "worker.before_commit_request",
    "worker.before_manifest",
    "worker.before_register",
    "worker.stage_received",
};

static_assert(std::is_sorted(kNames.begin(), kNames.end()), "looked up by binary search");

// Crash points are called from everywhere and carry no context; a simulation is one thread.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables)
thread_local const std::function<void(std::string_view)>* current_hook = nullptr;

struct Armed {
  std::string name;
  long countdown = 0;
  std::string once_file;
};

Armed read_environment() {
  Armed armed;
  const char* text = std::getenv("FINESCALE_CRASH_POINT");
  if (text == nullptr) {
    return armed;
  }
  armed.name = text;
  armed.countdown = 1;
  if (const size_t colon = armed.name.find(':'); colon != std::string::npos) {
    armed.countdown = std::strtol(armed.name.c_str() + colon + 1, nullptr, 10);
    armed.name.resize(colon);
  }
  if (const char* once = std::getenv("FINESCALE_CRASH_ONCE"); once != nullptr) {
    armed.once_file = once;
  }
  return armed;
}

}  // namespace

std::span<const std::string_view> crash_point_names() noexcept {
  return kNames;
}

CrashHook::CrashHook(std::function<void(std::string_view)> hook) : hook_(std::move(hook)) {
  FS_CHECK(current_hook == nullptr, "two crash hooks at a time");
  current_hook = &hook_;
}

CrashHook::~CrashHook() {
  current_hook = nullptr;
}

void crash_point(std::string_view name) {
  FS_CHECK(std::binary_search(kNames.begin(), kNames.end(), name),
           std::string("unknown crash point ") + std::string(name));
  if (current_hook != nullptr) {
    return (*current_hook)(name);
  }
  static const Armed armed = read_environment();
  static std::atomic<long> passed{0};
  if (armed.name.empty() || armed.name != name || ++passed != armed.countdown) {
    return;
  }
  if (!armed.once_file.empty()) {
    const int descriptor = ::open(armed.once_file.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (descriptor < 0) {
      return;
    }
    ::close(descriptor);
  }
  ::kill(::getpid(), SIGKILL);
}

}  // namespace finescale
