// SPDX-License-Identifier: Apache-2.0
// What squeue and sbatch print: understood whole, or not at all.
#include "coordinator/launchers/slurm_answers.h"

#include "tests/fuzz/fuzz_target.h"

using namespace finescale;  // NOLINT(google-build-using-namespace): one function

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = fuzz_text(data, size);
  if (const auto jobs = parse_squeue(text)) {
    for (const SlurmJob& job : *jobs) {
      FS_CHECK(!job.id.empty() && !job.state.empty(), "a job without id or state");
      FS_CHECK(!(is_over(job) && is_undecided(job)), "a job that is over and undecided");
    }
  }
  if (const auto id = parse_sbatch(text)) {
    FS_CHECK(!id->empty() && id->find_first_not_of("0123456789") == std::string::npos,
             "an id that is no number");
  }
  (void)is_passing_trouble(text);
  return 0;
}
