// SPDX-License-Identifier: Apache-2.0
// What fuzzers share. Each file *_fuzz.cpp here is one reader of files that users get from
// elsewhere: whatever the bytes are, it reads them, or refuses them as the user's input and says
// where.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "core/error.h"

// libFuzzer's entry; replay.cpp calls it on the files of the corpus.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace finescale {

[[nodiscard]] inline std::string_view fuzz_text(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// Any other exception, and one that names no place, goes through and ends the run.
template <class Read>
void read_or_refuse(Read&& read) {
  try {
    std::forward<Read>(read)();
  } catch (const Error& error) {
    if (exit_code(error.kind()) != 2 || error.where().empty()) {
      throw;
    }
  }
}

// For what is done with a file that was read: the caller knows the place.
template <class Use>
void use_or_refuse(Use&& use) {
  try {
    std::forward<Use>(use)();
  } catch (const Error& error) {
    if (exit_code(error.kind()) != 2) {
      throw;
    }
  }
}

}  // namespace finescale
