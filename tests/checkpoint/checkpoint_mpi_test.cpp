// SPDX-License-Identifier: Apache-2.0
// Checkpoints written by n processes and read by m.
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <mpi.h>

#include "checkpoint/async_writer.h"
#include "checkpoint/checkpoint.h"
#include "comm/mpi/mpi_group.h"
#include "core/error.h"
#include "core/files.h"
#include "tests/checkpoint/checkpoint_fixture.h"
#include "tests/checkpoint/partition_fixture.h"
#include "tests/comm/mpi_main.h"

namespace finescale {
namespace {

class CheckpointMpiTest : public testing::Test {
 protected:
  std::unique_ptr<Group> world_ = make_world_group();
  std::unique_ptr<Group> single_ = make_single_group();
  std::string directory_;
  void SetUp() override {
    directory_ = testing::TempDir() + "finescale_checkpoint_mpi_" + std::to_string(::getpid());
    world_->broadcast(directory_, 0);
    if (world_->rank() == 0) {
      make_directories(directory_);
    }
    world_->barrier();
  }
  void TearDown() override {
    world_->barrier();
    if (world_->rank() == 0) {
      std::filesystem::remove_all(directory_);
    }
  }
  static void write(Group& group, const std::string& path) {
    Tensors tensors;
    add_examples(tensors, group.rank(), group.size());
    CheckpointState state = example_state();
    state.seconds += group.rank();  // clocks of ranks differ: rank 0's is kept
    write_checkpoint(group, path, state, tensors.list());
  }
  static std::int64_t num_wrong_when_read(Group& group, const std::string& path) {
    CheckpointReader reader(group, path);
    EXPECT_EQ(reader.state().seconds, example_state().seconds);
    Tensors tensors;
    add_examples(tensors, group.rank(), group.size());
    tensors.clear();
    reader.read(tensors.list());
    return tensors.num_wrong();
  }
};

TEST_F(CheckpointMpiTest, AnyNumberWritesAnyNumberReads) {
  for (int writers = 1; writers <= world_->size(); ++writers) {
    const std::string path = directory_ + "/" + std::to_string(writers) + ".h5";
    const auto part = world_->split(static_cast<int>(world_->rank() < writers), world_->rank());
    if (world_->rank() < writers) {
      write(*part, path);
    }
    world_->barrier();
    for (int readers = 1; readers <= world_->size(); ++readers) {
      const auto half = world_->split(static_cast<int>(world_->rank() < readers), world_->rank());
      EXPECT_EQ(num_wrong_when_read(*half, path), 0)
          << writers << " wrote, " << half->size() << " read";
    }
    EXPECT_EQ(num_wrong_when_read(*single_, path), 0);
  }
}

TEST_F(CheckpointMpiTest, AnyPartitionIsReadByAnyOther) {
  unsigned seed = 100;
  for (int writers = 1; writers <= world_->size(); ++writers) {
    const std::string path = directory_ + "/dealt.h5";
    const auto part = world_->split(static_cast<int>(world_->rank() < writers), world_->rank());
    if (world_->rank() < writers) {
      write_dealt(*part, path, seed);
    }
    world_->barrier();
    for (int readers = 1; readers <= world_->size(); ++readers) {
      ++seed;
      const auto half = world_->split(static_cast<int>(world_->rank() < readers), world_->rank());
      EXPECT_EQ(num_wrong_dealt(*half, path, seed), 0)
          << writers << " wrote, " << half->size() << " read, seed " << seed;
    }
    world_->barrier();  // before it is written again
  }
}

TEST_F(CheckpointMpiTest, LargeTensorsBySeveralWriters) {
  Tensors tensors;
  for (int i = 0; i < 6; ++i) {  // 2 MiB each
    tensors.add("/model/layer" + std::to_string(i), Shape{512, 1024}, DType::kF32, world_->rank(),
                world_->size(), -1, i % world_->size());
  }
  tensors.add("/model/split", Shape{333, 1111}, DType::kF32, world_->rank(), world_->size(), 0);
  tensors.fill();
  const std::string path = directory_ + "/step-3.h5";
  write_checkpoint(*world_, path, example_state(), tensors.list());
  tensors.clear();
  CheckpointReader(*world_, path).read(tensors.list());
  EXPECT_EQ(tensors.num_wrong(), 0);
  EXPECT_EQ(newest_checkpoint(*world_, {directory_}, nullptr),
            path);  // verifies every hash, of split tensors too
}

TEST_F(CheckpointMpiTest, EveryProcessLearnsOfDamage) {
  const std::string path = directory_ + "/step-3.h5";
  write(*world_, path);
  Tensors tensors;
  tensors.add("/model/model.embed_tokens.weight", Shape{37, 16}, DType::kF32, world_->rank(),
              world_->size());
  tensors.fill();
  world_->barrier();
  if (world_->rank() == 0) {
    std::string content = read_file(path);
    const std::size_t at = content.find(std::string(tensors.list()[0].local.as<char>(), 16));
    ASSERT_NE(at, std::string::npos);
    content[at + 3] ^= 1;
    std::ofstream(path, std::ios::binary) << content;
  }
  world_->barrier();
  int errors = 0;
  try {
    CheckpointReader(*world_, path).read(tensors.list());
  } catch (const Error& error) {
    errors = static_cast<int>(error.kind() == ErrorKind::kCheckpoint && error.where() == path);
  }
  EXPECT_EQ(world_->sum(errors), world_->size());
  EXPECT_FALSE(newest_checkpoint(*world_, {directory_}, nullptr).has_value());
}

TEST_F(CheckpointMpiTest, ATruncatedNewestIsSkippedByAll) {
  write(*world_, directory_ + "/step-3.h5");
  write(*world_, directory_ + "/step-4.h5");
  if (world_->rank() == 0) {
    std::filesystem::resize_file(directory_ + "/step-4.h5", 2000);
  }
  std::vector<std::string> skipped;
  EXPECT_EQ(newest_checkpoint(*world_, {directory_}, &skipped), directory_ + "/step-3.h5");
  EXPECT_EQ(skipped.size(), world_->rank() == 0 ? 1U : 0U);
}

// The caller does not communicate meanwhile, so any MPI will do.
TEST_F(CheckpointMpiTest, InTheBackground) {
  AsyncCheckpointWriter writer(*world_);
  Pieces pieces;
  deal(pieces, 7, world_->rank(), world_->size(), false);
  for (const std::string name : {"/step-1.h5", "/step-2.h5"}) {
    pieces.fill();
    writer.start(directory_ + name, example_state(), pieces.list());
    for (const CheckpointTensor& tensor : pieces.list()) {  // training goes on
      std::memset(tensor.local.data, 0, tensor.local.size_bytes());
    }
    writer.wait();
    EXPECT_EQ(num_wrong_dealt(*world_, directory_ + name, 8), 0);
  }
  writer.start(directory_ + "/none/step-3.h5", example_state(), pieces.list());
  int errors = 0;
  try {
    writer.wait();
  } catch (const Error& error) {
    errors = static_cast<int>(error.where() == directory_ + "/none/step-3.h5");
  }
  EXPECT_EQ(world_->sum(errors), world_->size());
}

TEST_F(CheckpointMpiTest, InTheBackgroundBesideCollectives) {
  int level = 0;
  MPI_Query_thread(&level);
  if (level < MPI_THREAD_MULTIPLE) {
    GTEST_SKIP() << "MPI allows one thread at a time here";
  }
  AsyncCheckpointWriter writer(*world_);
  Pieces pieces;
  deal(pieces, 9, world_->rank(), world_->size(), false);
  pieces.fill();
  for (int step = 0; step < 5; ++step) {
    writer.start(directory_ + "/step-1.h5", example_state(), pieces.list());
    for (int i = 0; i < 100; ++i) {
      EXPECT_EQ(world_->sum(world_->rank()), world_->size() * (world_->size() - 1) / 2);
    }
  }
  writer.wait();
  EXPECT_EQ(num_wrong_dealt(*world_, directory_ + "/step-1.h5", 10), 0);
}

// The limit stands for a disk that is full for one host only: the same calls fail.
TEST_F(CheckpointMpiTest, AFullDiskOfOneProcessIsEveryonesError) {
  const std::string path = directory_ + "/step-3.h5";
  write(*world_, path);
  world_->barrier();
  Tensors tensors;
  tensors.add("/model/split", Shape{1024, 1024}, DType::kF32, world_->rank(), world_->size(), 0);
  tensors.fill();
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  ::signal(SIGXFSZ, SIG_IGN);
  if (world_->rank() == world_->size() - 1) {
    const rlimit limit{rlim_t{1} << 20, before.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  int errors = 0;
  try {
    write_checkpoint(*world_, path, example_state(), tensors.list());
  } catch (const Error& error) {
    errors = static_cast<int>(error.kind() == ErrorKind::kResource && error.where() == path);
  }
  ::setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_EQ(world_->sum(errors), world_->size());
  EXPECT_FALSE(std::filesystem::exists(path + ".tmp"));
  EXPECT_EQ(newest_checkpoint(*world_, {directory_}, nullptr), path);
}

TEST_F(CheckpointMpiTest, EveryProcessLearnsThatItCannotBeWritten) {
  int errors = 0;
  try {
    write(*world_, directory_ + "/none/step-3.h5");
  } catch (const Error&) {
    errors = 1;
  }
  EXPECT_EQ(world_->sum(errors), world_->size());
}

}  // namespace
}  // namespace finescale

int main(int argc, char** argv) {
  return finescale::run_mpi_tests(argc, argv);
}
