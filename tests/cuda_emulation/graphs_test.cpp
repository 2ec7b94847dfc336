// SPDX-License-Identifier: Apache-2.0
// Operations that become CUDA graphs: the same numbers as one by one, whatever changes between two
// segments, whatever the driver refuses, and in order with copies, events and other streams.
#include <cstdlib>
#include <string>

#include "core/cuda/launch_queue.h"
#include "core/error.h"
#include "core/kernel_observer.h"
#include "kernels/bias.h"
#include "kernels/gemm.h"
#include "kernels/reduce.h"
#include "tests/allocation_watch.h"
#include "tests/cuda_emulation/gpu_fixture.h"

namespace finescale {
namespace {

using cuda::emulation::GraphRefusal;
using cuda::emulation::start_machine;

// x = factor x + addend, of one number on the GPU: the order of two of them shows.
struct Change {
  float* x;
  float factor;
  float addend;
};
void run_change(const Change& change, const LaunchQueue::Target& target) {
  CUDA_CHECK(target.place,
             cuda::emulation::enqueue(target.stream, {"a change", [change] {
                                                        *change.x = *change.x * change.factor +
                                                                    change.addend;
                                                      }}));
}
void refuse(const Change& /*change*/, const LaunchQueue::Target& target) {
  CUDA_CHECK(target.place, cudaErrorInvalidValue);
}
void do_nothing(const Change& /*change*/, const LaunchQueue::Target& /*target*/) {}

class GraphsTest : public OnGpu {
 protected:
  void add(LaunchQueue& queue, float* x, float factor, float addend) {
    queue.add<Change, &run_change>({x, factor, addend});
  }
  // A segment of five operations, told apart by `which`, and what they make of `value`.
  void run_five(LaunchQueue& queue, float* x, float which, float& value) {
    for (int i = 0; i < 5; ++i) {
      add(queue, x, 0.5F, which);
      value = 0.5F * value + which;
    }
    (void)queue.flushed();
  }
  // Eight operations of the GPU's own queue, and what they make of `value`.
  float run_segment(float* x, float first, float value) {
    for (int i = 0; i < 8; ++i) {
      const auto addend = static_cast<float>(i) + first;
      add(gpu_->queue(), x, 0.5F, addend);
      value = 0.5F * value + addend;
    }
    gpu_->flush();
    return value;
  }
  float read(const void* x) {
    float value = 0;
    copy_to_host(stream(), x, &value, sizeof value);
    return value;
  }
};

TEST_P(GraphsTest, ASegmentThatComesAgainIsReplayedWithTheSameBits) {
  const AlignedBuffer memory(64, stream());
  auto* x = static_cast<float*>(memory.data());
  gpu_->flush();
  const GpuGraphs before = gpu_->graphs();
  float wanted = 0;
  for (int i = 0; i < 6; ++i) {
    wanted = run_segment(x, 1, wanted);
    if (i != 3) {  // once two of them are on their way
      EXPECT_EQ(read(x), wanted) << i;
    }
  }
  const GpuGraphs after = gpu_->graphs();
  EXPECT_TRUE(after.are_on);
  EXPECT_EQ(after.segments - before.segments, 6);
  EXPECT_EQ(after.captured, 1);
  EXPECT_EQ(after.replayed, 4);
  EXPECT_EQ(after.replayed_operations, 32);
  EXPECT_EQ(after.operations - before.operations, 48);
  EXPECT_EQ(after.held, 1);
}

TEST_P(GraphsTest, LongSegmentsAreCutAndShortOnesLeftAlone) {
  const AlignedBuffer memory(64, stream());
  auto* x = static_cast<float*>(memory.data());
  gpu_->flush();
  const GpuGraphs before = gpu_->graphs();
  for (int i = 0; i < 150; ++i) {
    add(gpu_->queue(), x, 1, 1);
  }
  gpu_->flush();
  EXPECT_EQ(gpu_->graphs().segments - before.segments, 3);
  EXPECT_EQ(gpu_->graphs().bypassed_operations, before.bypassed_operations);
  for (int i = 0; i < 3; ++i) {
    add(gpu_->queue(), x, 1, 1);
  }
  EXPECT_EQ(read(x), 153);
  EXPECT_EQ(gpu_->graphs().segments - before.segments, 3);
  EXPECT_EQ(gpu_->graphs().bypassed_operations - before.bypassed_operations, 3);
}

// Kernels and products: each variant differs from the first in one thing.
TEST_P(GraphsTest, AnotherPointerScalarGridOrOrderIsNeverReplayedFromTheOldGraph) {
  const Stream cpu;
  const Twin a(stream(), DType::kF32, {6, 8}, 1);
  const Twin b(stream(), DType::kF32, {6, 8}, 2);
  const Twin square(stream(), DType::kF32, {8, 8}, 3);
  Twin y(stream(), DType::kF32, {6, 8}, 4);
  const auto run = [&](const Stream& on, int variant, const auto& of) {
    const TensorView to = of(y);
    const TensorView rows = variant == 3 ? to.row_range(0, 4) : to;
    if (variant == 4) {
      affine_in_place(on, 0.25, 1, to);
    }
    add_in_place(on, of(variant == 1 ? b : a), to);
    axpy(on, variant == 2 ? 0.75 : 0.5, of(a), to);
    affine_in_place(on, 0.5, variant == 5 ? 0.25 : 0, rows);
    if (variant != 4) {
      affine_in_place(on, 0.25, 1, to);
    }
    gemm(on, Transpose::kNo, Transpose::kNo, variant == 6 ? 0.125 : 0.25, of(a), of(square),
         variant == 7 ? 0.5 : 1, to);
    if (variant == 8) {
      fill_zero(on, to.row_range(1, 2));
    } else {
      fill_zero(on, to.row_range(2, 3));
    }
  };
  for (int round = 0; round < 4; ++round) {
    for (int variant = 0; variant < 9; ++variant) {
      run(cpu, variant, [](const Twin& twin) { return twin.host(); });
      run(stream(), variant, [](const Twin& twin) { return twin.gpu(); });
      EXPECT_LE(y.difference(), 2e-6) << "variant " << variant << " round " << round;
    }
  }
  EXPECT_EQ(gpu_->graphs().captured, 9);
  EXPECT_EQ(gpu_->graphs().replayed, 18);
}

TEST_P(GraphsTest, CopiesFromAndToTheHostKeepTheirPlace) {
  const AlignedBuffer memory(64, stream());
  auto* x = static_cast<float*>(memory.data());
  for (int i = 0; i < 12; ++i) {
    const auto sent = static_cast<float>(i);
    add(gpu_->queue(), x, 0, -1);
    add(gpu_->queue(), x, 0, -2);
    copy_to_device(stream(), &sent, x, sizeof sent);
    const float wanted = run_segment(x, 3, sent);
    gpu_->copy_on_device(x, 4, x + 1, 4, 4, 1);
    gpu_->clear(x, 4, 4, 1);
    EXPECT_EQ(read(x + 1), wanted);
    EXPECT_EQ(read(x), 0);
  }
  EXPECT_EQ(gpu_->graphs().replayed, 10);
}

TEST_P(GraphsTest, EventsOfAnotherStreamKeepTheirPlace) {
  const GpuPlace place{0, 2};
  const AlignedBuffer memory(64, stream());
  auto* x = static_cast<float*>(memory.data());
  gpu_->flush();
  const CudaStream other = make_cuda_stream(place);
  const CudaEvent there = make_cuda_event(place);
  const CudaEvent back = make_cuda_event(place);
  const auto own = [&] { return static_cast<cudaStream_t>(gpu_->native_stream()); };
  float wanted = 0;
  for (int i = 0; i < 8; ++i) {
    for (int k = 0; k < 5; ++k) {
      add(gpu_->queue(), x, 0.5F, 1);
      wanted = 0.5F * wanted + 1;
    }
    CUDA_CHECK(place, cudaEventRecord(there.get(), own()));
    CUDA_CHECK(place, cudaStreamWaitEvent(other.get(), there.get()));
    run_change({x, 2, 3}, {other.get(), place});
    wanted = 2 * wanted + 3;
    CUDA_CHECK(place, cudaEventRecord(back.get(), other.get()));
    CUDA_CHECK(place, cudaStreamWaitEvent(own(), back.get()));
    for (int k = 0; k < 5; ++k) {
      add(gpu_->queue(), x, 0.25F, 2);
      wanted = 0.25F * wanted + 2;
    }
    EXPECT_EQ(read(x), wanted);
  }
  EXPECT_EQ(gpu_->graphs().replayed, 12);
}

TEST_P(GraphsTest, WhateverTheDriverRefusesEverythingRunsOnceAndOneByOne) {
  const std::pair<GraphRefusal, const char*> refusals[] = {
      {GraphRefusal::kBegin, "cudaStreamBeginCapture"},
      {GraphRefusal::kRecording, "cudaErrorStreamCaptureInvalidated"},
      {GraphRefusal::kEnd, "cudaStreamEndCapture"},
      {GraphRefusal::kInstantiation, "cudaGraphInstantiate"},
      {GraphRefusal::kLaunch, "cudaGraphLaunch"}};
  for (const auto& [refusal, text] : refusals) {
    gpu_.reset();
    start_machine({.pace = GetParam(), .seed = 3, .refuses = refusal});
    gpu_ = std::make_unique<Gpu>(0, 2);
    const AlignedBuffer memory(64, stream());
    auto* x = static_cast<float*>(memory.data());
    gpu_->flush();
    float wanted = 0;
    for (int i = 0; i < 5; ++i) {
      wanted = run_segment(x, 1, wanted);
      EXPECT_EQ(read(x), wanted) << text;
      EXPECT_EQ(gpu_->graphs().are_on, i == 0);
    }
    EXPECT_NE(gpu_->graphs().failure.find(text), std::string::npos) << gpu_->graphs().failure;
    EXPECT_EQ(gpu_->graphs().captured, 0);
    EXPECT_EQ(gpu_->graphs().replayed, 0);
    EXPECT_EQ(gpu_->graphs().held, 0);
    EXPECT_NO_THROW(gpu_->synchronize());
  }
}

TEST_P(GraphsTest, ASegmentEndsByItselfWhenItIsFull) {
  const AlignedBuffer memory(64, stream());
  auto* x = static_cast<float*>(memory.data());
  LaunchQueue queue({0, 2}, static_cast<cudaStream_t>(gpu_->native_stream()), true,
                    {.segment_operations = 4});
  for (int i = 0; i < 11; ++i) {
    add(queue, x, 0.5F, 1);
    EXPECT_EQ(queue.figures().segments, (i + 1) / 4) << i;
  }
  (void)queue.flushed();
}

TEST_P(GraphsTest, TheGraphThatWasUsedLeastRecentlyGoes) {
  const AlignedBuffer memory(64, stream());
  auto* x = static_cast<float*>(memory.data());
  LaunchQueue queue({0, 2}, static_cast<cudaStream_t>(gpu_->native_stream()), true,
                    {.most_graphs = 3, .idle_segments = 2});
  float wanted = 0;
  const auto run = [&](float which) { run_five(queue, x, which, wanted); };
  for (const float which : {1.0F, 1.0F, 2.0F, 2.0F, 3.0F, 3.0F, 1.0F, 4.0F, 4.0F}) {
    run(which);  // the fourth takes the place of the second
  }
  EXPECT_EQ(queue.figures().held, 3);
  EXPECT_EQ(queue.figures().captured, 4);
  EXPECT_EQ(queue.figures().replayed, 1);
  for (const float which : {1.0F, 3.0F, 4.0F}) {
    run(which);
  }
  EXPECT_EQ(queue.figures().replayed, 4);
  run(2);
  EXPECT_EQ(queue.figures().captured, 5);
  EXPECT_EQ(queue.figures().held, 3);
  EXPECT_EQ(read(x), wanted);
  queue.forget_graphs();
  EXPECT_EQ(queue.figures().held, 0);
}

// Five segments that follow each other in a circle would push each other out of three places.
TEST_P(GraphsTest, GraphsThatAreInUseKeepTheirPlaces) {
  const AlignedBuffer memory(64, stream());
  auto* x = static_cast<float*>(memory.data());
  LaunchQueue queue({0, 2}, static_cast<cudaStream_t>(gpu_->native_stream()), true,
                    {.most_graphs = 3});
  float wanted = 0;
  for (int round = 0; round < 6; ++round) {
    for (const float which : {1.0F, 2.0F, 3.0F, 4.0F, 5.0F}) {
      run_five(queue, x, which, wanted);
    }
  }
  EXPECT_EQ(queue.figures().held, 3);
  EXPECT_EQ(queue.figures().captured, 3);
  EXPECT_EQ(queue.figures().replayed, 12);
  EXPECT_EQ(read(x), wanted);
}

TEST_P(GraphsTest, SegmentsThatNeverRepeatAreLetThroughAndLookedAtAgainLater) {
  const AlignedBuffer memory(64, stream());
  auto* x = static_cast<float*>(memory.data());
  LaunchQueue queue({0, 2}, static_cast<cudaStream_t>(gpu_->native_stream()), true,
                    {.window_segments = 16, .bypass_operations = 40});
  float wanted = 0;
  const auto run = [&](float which) { run_five(queue, x, which, wanted); };
  for (int i = 0; i < 16; ++i) {
    run(static_cast<float>(i));
  }
  EXPECT_EQ(queue.figures().segments, 16);
  EXPECT_EQ(queue.figures().bypassed_operations, 0);
  for (int i = 0; i < 8; ++i) {
    run(7);
  }
  EXPECT_EQ(queue.figures().segments, 16);
  EXPECT_EQ(queue.figures().bypassed_operations, 40);
  for (int i = 0; i < 40; ++i) {  // these repeat: it goes on like that
    run(7);
  }
  EXPECT_EQ(queue.figures().segments, 56);
  EXPECT_EQ(queue.figures().replayed, 39);
  EXPECT_EQ(queue.figures().bypassed_operations, 40);
  EXPECT_EQ(read(x), wanted);
}

// What it says, and where it was thrown.
template <class Run>
Error error_thrown_by(const Run& run) {
  try {
    run();
  } catch (const Error& error) {
    return error;
  }
  return {ErrorKind::kInternal, "nothing was thrown"};
}

TEST_P(GraphsTest, ARefusedLaunchSaysWhatItSaysWithoutGraphs) {
  float host[8] = {};
  const TensorView outside(host, DType::kF32, Shape{8});
  const Twin x(stream(), DType::kF32, {8}, 1);
  const Error kernel = error_thrown_by([&] {
    add_in_place(stream(), x.gpu(), outside);
    add_in_place(stream(), x.gpu(), x.gpu());  // dropped
    gpu_->flush();
  });
  EXPECT_EQ(kernel.kind(), ErrorKind::kDevice);
  EXPECT_EQ(kernel.message(),
            "a kernel could not be launched: cudaErrorIllegalAddress on GPU 0 of rank 2");
  EXPECT_NE(std::string(kernel.file()).find("kernels/cuda/gpu.h"), std::string::npos);
  const Error fill = error_thrown_by([&] {
    gpu_->clear(host, 32, 32, 1);
    gpu_->synchronize();
  });
  EXPECT_EQ(fill.kind(), ErrorKind::kDevice);
  EXPECT_NE(fill.message().find("cudaErrorInvalidValue) in cudaMemset2DAsync("), std::string::npos)
      << fill.message();
  EXPECT_NE(fill.message().find("on GPU 0 of rank 2"), std::string::npos);
  EXPECT_NE(std::string(fill.file()).find("gpu.cpp"), std::string::npos);
  EXPECT_EQ(x.difference(), 0);
  gpu_->clear(host, 32, 32, 1);  // at the end nothing is thrown
}

TEST_P(GraphsTest, WhatADestructorMustNotThrowIsThrownByTheNextCall) {
  const AlignedBuffer memory(64, stream());
  auto* x = static_cast<float*>(memory.data());
  LaunchQueue queue({0, 2}, static_cast<cudaStream_t>(gpu_->native_stream()), true);
  queue.add<Change, &refuse>({x, 1, 1});
  queue.flush_quietly();
  EXPECT_THROW(add(queue, x, 1, 1), Error);
  EXPECT_NO_THROW((void)queue.flushed());
  queue.add<Change, &refuse>({x, 1, 1});
  queue.flush_quietly();
  EXPECT_THROW((void)queue.flushed(), Error);
  add(queue, x, 1, 1);
  (void)queue.flushed();
  EXPECT_EQ(read(x), 1);
}

class Counting final : public KernelObserver {
 public:
  void begin() override {}
  void end(const KernelCall& /*call*/) override { ++calls; }
  int calls = 0;
};

TEST_P(GraphsTest, KernelsThatSomebodyObservesRunAtOnce) {
  Counting observer;
  const Stream observed = gpu_->stream(&observer);
  Twin x(stream(), DType::kF32, {6, 8}, 1);
  for (int i = 0; i < 3; ++i) {
    for (int k = 0; k < 6; ++k) {
      add_in_place(observed, x.gpu(), x.gpu());
      add_in_place(Stream(), x.host(), x.host());
    }
    EXPECT_EQ(x.difference(), 0);
  }
  EXPECT_EQ(observer.calls, 18);
  EXPECT_EQ(gpu_->graphs().segments, 0);
}

TEST_P(GraphsTest, TheEnvironmentTurnsThemOff) {
  const auto open_with = [&](const char* word) {
    gpu_.reset();
    ::setenv("FINESCALE_GPU_GRAPHS", word, 1);
    Error error = error_thrown_by([&] { gpu_ = std::make_unique<Gpu>(0, 2); });
    ::unsetenv("FINESCALE_GPU_GRAPHS");
    return error;
  };
  (void)open_with("off");
  {
    const AlignedBuffer memory(64, stream());
    auto* x = static_cast<float*>(memory.data());
    float wanted = 0;
    for (int i = 0; i < 4; ++i) {
      wanted = run_segment(x, 1, wanted);
    }
    EXPECT_EQ(read(x), wanted);
    EXPECT_FALSE(gpu_->graphs().are_on);
    EXPECT_EQ(gpu_->graphs().segments, 0);
    EXPECT_EQ(gpu_->graphs().failure, "");
  }
  (void)open_with("on");
  EXPECT_TRUE(gpu_->graphs().are_on);
  EXPECT_EQ(open_with("perhaps").kind(), ErrorKind::kConfig);
}

// Segments of one step do not push each other out of what is remembered.
TEST(LaunchQueue, AStepThatFillsAllGraphsIsReplayed) {
  start_machine({});
  {
    const CudaStream stream = make_cuda_stream({0, 0});
    LaunchQueue queue({0, 0}, stream.get(), true);
    for (int step = 0; step < 3; ++step) {
      for (int segment = 0; segment < 250; ++segment) {
        for (int i = 0; i < 5; ++i) {
          queue.add<Change, &do_nothing>({nullptr, 1, static_cast<float>(segment)});
        }
        (void)queue.flushed();
      }
    }
    EXPECT_GE(queue.figures().captured, 240);
    EXPECT_GE(queue.figures().replayed, 240);
  }
  start_machine({});
}

TEST(LaunchQueue, AsksForNoMemoryInTheSteadyState) {
  if (num_allocations() < 0) {
    GTEST_SKIP() << "memory is not counted here";
  }
  start_machine({});
  for (const bool with_graphs : {true, false}) {
    const CudaStream stream = make_cuda_stream({0, 0});
    LaunchQueue queue({0, 0}, stream.get(), with_graphs);
    float never_equal = 0;
    const auto step = [&](bool repeats) {
      for (int i = 0; i < 200; ++i) {
        never_equal += repeats ? 0 : 1;
        queue.add<Change, &do_nothing>({nullptr, static_cast<float>(i), never_equal});
      }
      (void)queue.flushed();
    };
    for (int i = 0; i < 3; ++i) {
      step(true);
    }
    const std::int64_t before = num_allocations();
    for (int i = 0; i < 50; ++i) {
      step(true);
    }
    for (int i = 0; i < 50; ++i) {
      step(false);
    }
    EXPECT_EQ(num_allocations(), before);
    EXPECT_EQ(queue.figures().replayed, with_graphs ? 51 * 4 : 0);
  }
  start_machine({});
}

INSTANTIATE_TEST_SUITE_P(Paces, GraphsTest, all_paces(), pace_name);

}  // namespace
}  // namespace finescale
