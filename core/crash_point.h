// SPDX-License-Identifier: Apache-2.0
// Named places where a test may kill this process: one in front of and behind every durable
// transition. Free in production: one relaxed load. FINESCALE_CRASH_POINT=<name>[:<n>] kills the
// process (SIGKILL) at the n-th passing; FINESCALE_CRASH_ONCE=<file> makes it happen only while
// that file does not exist yet (it is created first).
#pragma once

#include <functional>
#include <span>
#include <string_view>

namespace finescale {

void crash_point(std::string_view name);

// While it lives, crash points of this thread call `hook`, which may throw: a simulated process
// dies there. One at a time.
class CrashHook {
 public:
  explicit CrashHook(std::function<void(std::string_view)> hook);
  ~CrashHook();
  CrashHook(const CrashHook&) = delete;
  CrashHook& operator=(const CrashHook&) = delete;

 private:
  std::function<void(std::string_view)> hook_;
};

// All names in the program, sorted; `crash_point` throws kInternal for a name that is not in the
// list.
[[nodiscard]] std::span<const std::string_view> crash_point_names() noexcept;

}  // namespace finescale
