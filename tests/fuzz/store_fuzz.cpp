// SPDX-License-Identifier: Apache-2.0
// A store.sqlite that is anything: it opens and can be read, or it is refused.
#include "coordinator/store.h"

#include <filesystem>

#include "coordinator/trial_text.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/fuzz/scratch.h"

using namespace finescale;  // NOLINT(google-build-using-namespace): one function

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const ScratchDirectory directory;
  (void)directory.write("store.sqlite", fuzz_text(data, size));
  for (const char* name : {"/store.sqlite-wal", "/store.sqlite-journal", "/store.sqlite-shm"}) {
    std::filesystem::remove(directory.path() + name);
  }
  try {
    Store store(directory.path());
    for (const StoredStage& stage : store.stages()) {
      try {
        (void)store.spec_of(stage);
      } catch (const Error&) {  // NOLINT(bugprone-empty-catch): refused
      }
    }
    for (const StoredTrial& trial : store.trials()) {
      (void)trial_from_text(trial.text);
    }
    (void)store.gangs();
    (void)store.decisions();
    (void)store.tuned();
    (void)store.states();
  } catch (const Error&) {  // NOLINT(bugprone-empty-catch): refused, whatever the reason
  }
  return 0;
}
