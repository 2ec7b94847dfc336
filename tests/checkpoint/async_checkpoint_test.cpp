// SPDX-License-Identifier: Apache-2.0
// Real checkpoints from background threads: beside other uses of HDF5, and through kills.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include <gtest/gtest.h>

#include "checkpoint/async_writer.h"
#include "comm/local/local_group.h"
#include "core/error.h"
#include "core/files.h"
#include "tests/checkpoint/partition_fixture.h"

namespace finescale {
namespace {

class AsyncCheckpointTest : public testing::Test {
 protected:
  std::string directory_ = testing::TempDir() + "finescale_async_" + std::to_string(::getpid());
  std::unique_ptr<Group> single_ = make_single_group();
  void SetUp() override { make_directories(directory_); }
  void TearDown() override { std::filesystem::remove_all(directory_); }
};

TEST_F(AsyncCheckpointTest, ReadersAndWritersOfOneProcessShareHdf5) {
  const std::string old = directory_ + "/step-0.h5";
  write_dealt(*single_, old, 1);
  run_local_ranks(3, [&](Group& group) {
    AsyncCheckpointWriter one(group);
    AsyncCheckpointWriter two(group);
    Pieces pieces;
    deal(pieces, 5, group.rank(), group.size(), false);
    for (unsigned step = 1; step <= 6; ++step) {
      pieces.fill();
      const std::string path = directory_ + "/step-" + std::to_string(step) + ".h5";
      (step % 2 == 0 ? one : two).start(path, example_state(), pieces.list());
      for (const CheckpointTensor& tensor : pieces.list()) {  // training goes on
        std::memset(tensor.local.data, 0, tensor.local.size_bytes());
      }
      EXPECT_EQ(num_wrong_dealt(group, old, step), 0);
    }
    one.wait();
    two.wait();
    for (const std::string name : {"/step-1.h5", "/step-6.h5"}) {
      EXPECT_EQ(num_wrong_dealt(group, directory_ + name, 3), 0);
    }
    EXPECT_EQ(newest_checkpoint(group, {directory_}, nullptr), directory_ + "/step-6.h5");
  });
}

// A process of its own: it is killed at the named crash point, or as soon as the snapshot is taken.
TEST_F(AsyncCheckpointTest, DISABLED_WriteStep8) {
  const bool at_once = std::getenv("FINESCALE_CRASH_POINT") == nullptr;
  const AsyncCheckpointWriter::Write kill_in_front = [&](Group& group, const std::string& path,
                                                         const CheckpointState& state,
                                                         const auto& tensors) {
    if (at_once) {
      ::kill(::getpid(), SIGKILL);
    }
    write_checkpoint(group, path, state, tensors);
  };
  AsyncCheckpointWriter writer(*single_, kill_in_front);
  CheckpointState state = example_state();
  state.step = 8;
  Pieces pieces;
  deal(pieces, 1, 0, 1, false);
  writer.start(std::getenv("FINESCALE_TEST_PATH"), state, pieces.list());
  writer.wait();
}

TEST_F(AsyncCheckpointTest, AKillBeforeTheCommitLeavesTheOlderOne) {
  const std::string path = directory_ + "/step-7.h5";
  for (const std::string point :
       {"", "worker.before_checkpoint_rename", "worker.after_checkpoint"}) {
    write_dealt(*single_, path, 1);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      if (!point.empty()) {
        ::setenv("FINESCALE_CRASH_POINT", point.c_str(), 1);
      }
      ::setenv("FINESCALE_TEST_PATH", path.c_str(), 1);
      ::setenv("TEST_TMPDIR", directory_.c_str(), 1);  // killed, it removes nothing
      ::execl("/proc/self/exe", "checkpoint_test", "--gtest_filter=Async*.DISABLED_WriteStep8",
              "--gtest_also_run_disabled_tests", "--gtest_brief=1", nullptr);
      ::_exit(1);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
    const bool renamed = point == "worker.after_checkpoint";
    EXPECT_EQ(CheckpointReader(*single_, path).state().step, renamed ? 8 : 7) << point;
    EXPECT_EQ(newest_checkpoint(*single_, {directory_}, nullptr), path);
    EXPECT_EQ(num_wrong_dealt(*single_, path, 2) == 0, !renamed) << "the child's are zeros";
  }
}

}  // namespace
}  // namespace finescale
