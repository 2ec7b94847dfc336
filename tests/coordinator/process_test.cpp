// SPDX-License-Identifier: Apache-2.0
#include "coordinator/process.h"

#include <gtest/gtest.h>

#include "core/clock.h"

namespace finescale {
namespace {

TEST(RunProcess, FeedsInputAndReadsBothOutputs) {
  ProcessOptions options;
  options.input = std::string(1 << 20, 'x');  // more than a pipe holds
  options.keep_errors = true;
  const ProcessOutput output = run_process({"sh", "-c", "wc -c; echo no >&2; exit 3"}, options);
  EXPECT_EQ(output.code, 3);
  EXPECT_EQ(std::stol(output.out), 1 << 20);
  EXPECT_EQ(output.err, "no\n");
  EXPECT_EQ(run_process({"true"}, options).code, 0);  // one that does not read
  EXPECT_EQ(run_process({"no-such-program"}).code, 127);
  EXPECT_EQ(run_process({"sh", "-c", "kill -9 $$"}).code, 137);
}

TEST(RunProcess, EndsAfterItsTimeEvenWhenGrandchildrenHoldTheOutput) {
  ProcessOptions options;
  options.timeout_s = 0.3;
  const SystemClock clock;
  const double begin = clock.now();
  const ProcessOutput output = run_process({"sh", "-c", "echo a; sleep 8; echo b"}, options);
  EXPECT_EQ(output.code, 124);
  EXPECT_EQ(output.out, "a\n");
  EXPECT_LT(clock.now() - begin, 6);
}

TEST(RunProcess, KeepsNoMoreThanAsked) {
  ProcessOptions options;
  options.max_output = 10;
  EXPECT_EQ(run_process({"sh", "-c", "seq 100000"}, options).out, "1\n2\n3\n4\n5\n");
}

}  // namespace
}  // namespace finescale
