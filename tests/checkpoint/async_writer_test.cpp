// SPDX-License-Identifier: Apache-2.0
// The thread beside training, with a write of the test's own: no HDF5, no MPI, so ThreadSanitizer
// sees everything.
#include "checkpoint/async_writer.h"

#include <atomic>
#include <chrono>
#include <numeric>
#include <semaphore>

#include <gtest/gtest.h>

#include "comm/local/local_group.h"
#include "core/error.h"

namespace finescale {
namespace {

using Write = AsyncCheckpointWriter::Write;

// A tensor of a rank's own numbers.
struct Training {
  std::vector<float> weights = std::vector<float>(5000);
  CheckpointState state;

  void step() {
    ++state.step;
    std::iota(weights.begin(), weights.end(), static_cast<float>(state.step));
  }
  [[nodiscard]] std::vector<CheckpointTensor> tensors() {
    CheckpointTensor tensor;
    tensor.path = "/model/w";
    tensor.shape = Shape{5000};
    tensor.part = {Shape{0}, Shape{5000}};
    tensor.local = TensorView(weights.data(), DType::kF32, Shape{5000});
    CheckpointTensor other = tensor;  // another rank's to write
    other.writes = false;
    other.local.data = nullptr;
    return {tensor, other};
  }
};

// What the background thread of a rank saw.
struct Seen {
  std::vector<std::int64_t> steps;
  std::vector<float> first;
  std::vector<const void*> memory;
  void note(const CheckpointState& state, const std::vector<CheckpointTensor>& tensors) {
    steps.push_back(state.step);
    first.push_back(*tensors[0].local.as<float>());
    memory.push_back(tensors[0].local.data);
  }
};

std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.message();
  }
  return {};
}

TEST(AsyncCheckpointWriter, WritesWhatWasThereAtTheStart) {
  run_local_ranks(3, [](Group& group) {
    Seen seen;
    std::binary_semaphore go{0};
    AsyncCheckpointWriter writer(group, [&](Group& own, const std::string& path,
                                            const CheckpointState& state, const auto& tensors) {
      go.acquire();
      own.barrier();
      EXPECT_EQ(path, "a");
      seen.note(state, tensors);
    });
    Training training;
    training.step();
    writer.start("a", training.state, training.tensors());
    EXPECT_TRUE(writer.busy());
    group.barrier();  // the caller's collectives go on meanwhile
    training.step();
    go.release();
    writer.wait();
    EXPECT_FALSE(writer.busy());
    EXPECT_EQ(seen.steps, std::vector<std::int64_t>{1});
    EXPECT_EQ(seen.first, std::vector<float>{1});
  });
}

TEST(AsyncCheckpointWriter, StartsFollowEachOtherInTheSameMemory) {
  run_local_ranks(2, [](Group& group) {
    Seen seen;
    AsyncCheckpointWriter writer(group, [&](Group& own, const std::string&,
                                            const CheckpointState& state, const auto& tensors) {
      own.barrier();
      seen.note(state, tensors);
    });
    Training training;
    writer.reserve(training.tensors());
    for (int i = 0; i < 50; ++i) {
      training.step();
      writer.start("a", training.state, training.tensors());
    }
    writer.wait();
    ASSERT_EQ(seen.steps.size(), 50U);
    for (std::size_t i = 0; i < 50; ++i) {
      EXPECT_EQ(seen.steps[i], static_cast<std::int64_t>(i) + 1);
      EXPECT_EQ(seen.first[i], static_cast<float>(i + 1));
      EXPECT_EQ(seen.memory[i], seen.memory[0]);
    }
  });
}

TEST(AsyncCheckpointWriter, AnErrorOfOneRankIsEveryonesOnce) {
  run_local_ranks(3, [](Group& group) {
    AsyncCheckpointWriter writer(group,
                                 [](Group& own, const std::string& path, const auto&, const auto&) {
                                   if (own.rank() == 1 && path == "bad") {
                                     throw Error(ErrorKind::kResource, "the disk is full");
                                   }
                                 });
    Training training;
    writer.start("bad", training.state, training.tensors());
    EXPECT_EQ(error_of([&] { writer.wait(); }), "the disk is full");
    EXPECT_EQ(error_of([&] { writer.wait(); }), "");
    writer.start("bad", training.state, training.tensors());
    EXPECT_EQ(error_of([&] { writer.start("b", training.state, training.tensors()); }),
              "the disk is full");
    EXPECT_FALSE(writer.busy());
    writer.start("good", training.state, training.tensors());
    EXPECT_EQ(error_of([&] { writer.wait(); }), "");
  });
}

TEST(AsyncCheckpointWriter, ASnapshotThatFailsOnOneRankIsEveryonesError) {
  run_local_ranks(2, [](Group& group) {
    std::atomic<int> written = 0;
    AsyncCheckpointWriter writer(group,
                                 [&](Group&, const auto&, const auto&, const auto&) { ++written; });
    std::vector<float> weights(30);
    Training training;
    auto tensors = training.tensors();
    if (group.rank() == 1) {
      tensors[0].local = TensorView(weights.data(), DType::kF32, Shape{3, 10}).columns(0, 5);
    }
    writer.start("a", training.state, tensors);
    EXPECT_NE(error_of([&] { writer.wait(); }).find("/model/w"), std::string::npos);
    EXPECT_EQ(written, 0);
  });
}

TEST(AsyncCheckpointWriter, ItsEndWaitsForTheWrite) {
  std::atomic<int> written = 0;
  run_local_ranks(4, [&](Group& group) {
    AsyncCheckpointWriter writer(group, [&](Group& own, const auto&, const auto&, const auto&) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      own.barrier();
      ++written;
    });
    Training training;
    writer.start("a", training.state, training.tensors());
  });
  EXPECT_EQ(written, 4);
  const auto single = make_single_group();
  const AsyncCheckpointWriter unused(*single);
}

TEST(AsyncCheckpointWriter, ARankThatFailsElsewhereReleasesTheThreads) {
  EXPECT_EQ(error_of([] {
              run_local_ranks(3, [](Group& group) {
                AsyncCheckpointWriter writer(group, [](Group& own, const auto&, const auto&,
                                                       const auto&) { own.barrier(); });
                if (group.rank() == 2) {
                  throw Error(ErrorKind::kComm, "rank 2 is gone");
                }
                Training training;
                writer.start("a", training.state, training.tensors());
              });
            }),
            "rank 2 is gone");
}

}  // namespace
}  // namespace finescale
