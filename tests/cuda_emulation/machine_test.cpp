// SPDX-License-Identifier: Apache-2.0
// The emulated machine finds what it is there to find.
#include "tests/cuda_emulation/runtime/machine.h"

#include <cmath>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace finescale::cuda::emulation {
namespace {

class MachineTest : public testing::Test {
 protected:
  void SetUp() override {
    start_machine({});
    for (cudaStream_t* stream : {&first_, &second_}) {
      ASSERT_EQ(cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking), cudaSuccess);
    }
    ASSERT_EQ(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), cudaSuccess);
    void* memory = nullptr;
    ASSERT_EQ(cudaMalloc(&memory, 64), cudaSuccess);
    device_ = static_cast<float*>(memory);
    ASSERT_EQ(cudaMallocHost(&memory, 64), cudaSuccess);
    pinned_ = static_cast<float*>(memory);
  }
  void TearDown() override {
    (void)cudaDeviceSynchronize();
    (void)cudaEventDestroy(event_);
    (void)cudaStreamDestroy(first_);
    (void)cudaStreamDestroy(second_);
    (void)cudaFree(device_);
    (void)cudaFreeHost(pinned_);
  }
  // value -> the GPU on `first_`, then the GPU -> value on `second_`.
  float round_trip(bool with_event, float value) {
    *pinned_ = value;
    (void)cudaMemcpyAsync(device_, pinned_, 4, cudaMemcpyHostToDevice, first_);
    if (with_event) {
      (void)cudaEventRecord(event_, first_);
      (void)cudaStreamWaitEvent(second_, event_);
    }
    float back = 0;
    (void)cudaMemcpyAsync(&back, device_, 4, cudaMemcpyDeviceToHost, second_);
    return back;
  }

  cudaStream_t first_ = nullptr;
  cudaStream_t second_ = nullptr;
  cudaEvent_t event_ = nullptr;
  float* device_ = nullptr;
  float* pinned_ = nullptr;
};

TEST_F(MachineTest, StreamsAreOrderedByEventsOnly) {
  EXPECT_EQ(round_trip(true, 7), 7);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  int wrong = 0;
  for (int i = 0; i < 32; ++i) {
    wrong +=
        static_cast<int>(round_trip(false, static_cast<float>(i + 8)) != static_cast<float>(i + 8));
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  }
  EXPECT_GT(wrong, 8);  // of 32 draws of one of two
}

TEST_F(MachineTest, AnEventCountsAsItWasAtTheWait) {
  *pinned_ = 1;
  EXPECT_EQ(cudaEventRecord(event_, first_), cudaSuccess);
  EXPECT_EQ(cudaStreamWaitEvent(second_, event_), cudaSuccess);
  (void)cudaMemcpyAsync(device_, pinned_, 4, cudaMemcpyHostToDevice, first_);
  EXPECT_EQ(cudaEventRecord(event_, first_), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(second_), cudaSuccess);  // the first record is enough
  EXPECT_EQ(cudaEventSynchronize(event_), cudaSuccess);
}

TEST_F(MachineTest, APinnedSourceIsReadWhenItIsItsTurn) {
  *pinned_ = 1;
  float pageable = 1;
  (void)cudaMemcpyAsync(device_, pinned_, 4, cudaMemcpyHostToDevice, first_);
  (void)cudaMemcpyAsync(device_ + 1, &pageable, 4, cudaMemcpyHostToDevice, first_);
  *pinned_ = 2;  // too soon
  pageable = 2;
  float back[2] = {};
  (void)cudaMemcpyAsync(back, device_, 8, cudaMemcpyDeviceToHost, first_);
  EXPECT_EQ(back[0], 2);
  EXPECT_EQ(back[1], 1);
}

TEST_F(MachineTest, MemoryBeginsAsNaN) {
  float back = 0;
  (void)cudaMemcpyAsync(&back, device_, 4, cudaMemcpyDeviceToHost, first_);
  EXPECT_TRUE(std::isnan(back));
}

TEST_F(MachineTest, TheHostCannotTouchTheGpusMemory) {
  EXPECT_DEATH(*device_ = 1, "");
  EXPECT_DEATH(*pinned_ = *device_, "");
}

TEST_F(MachineTest, CopiesMustSayWhereMemoryLies) {
  float host = 0;
  EXPECT_EQ(cudaMemcpyAsync(&host, device_, 4, cudaMemcpyHostToDevice, first_),
            cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpyAsync(device_, &host, 68, cudaMemcpyHostToDevice, first_),
            cudaErrorInvalidValue);  // longer than the allocation
}

TEST_F(MachineTest, AKernelThatWritesOutsideIsFound) {
  (void)enqueue(first_, {"a bad kernel", [this] { device_[16] = 1; }});
  EXPECT_EQ(cudaStreamSynchronize(first_), cudaSuccess);
  EXPECT_THROW((void)cudaFree(device_), std::runtime_error);
  device_ = nullptr;
}

TEST_F(MachineTest, AFaultIsSaidByEveryLaterCall) {
  (void)enqueue(first_, {"a bad kernel", [] { throw std::runtime_error("it hurts"); }});
  EXPECT_EQ(cudaStreamSynchronize(first_), cudaErrorLaunchFailure);
  EXPECT_NE(std::string(cudaGetErrorString(cudaErrorLaunchFailure)).find("it hurts"),
            std::string::npos);
  EXPECT_EQ(cudaEventRecord(event_, first_), cudaErrorLaunchFailure);
}

// Eight copies of a number on the GPU to its neighbour, recorded, then run.
TEST_F(MachineTest, AGraphRunsItsNodesInOrderAndOftenAndLate) {
  EXPECT_EQ(cudaStreamBeginCapture(first_, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(cudaMemcpyAsync(device_ + i + 1, device_ + i, 4, cudaMemcpyDeviceToDevice, first_),
              cudaSuccess);
  }
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  EXPECT_EQ(cudaStreamIsCapturing(first_, &status), cudaSuccess);
  EXPECT_EQ(status, cudaStreamCaptureStatusActive);
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(first_, &graph), cudaSuccess);
  cudaGraphExec_t executable = nullptr;
  EXPECT_EQ(cudaGraphInstantiate(&executable, graph), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  float back = 0;
  (void)cudaMemcpyAsync(&back, device_ + 8, 4, cudaMemcpyDeviceToHost, first_);
  EXPECT_TRUE(std::isnan(back));  // nothing has run
  for (const float value : {3.0F, 4.0F}) {
    EXPECT_EQ(cudaGraphLaunch(executable, first_), cudaSuccess);
    *pinned_ = value;
    (void)cudaMemcpyAsync(device_, pinned_, 4, cudaMemcpyHostToDevice, first_);
    EXPECT_EQ(cudaGraphLaunch(executable, first_), cudaSuccess);
    (void)cudaMemcpyAsync(&back, device_ + 8, 4, cudaMemcpyDeviceToHost, first_);
    EXPECT_EQ(back, value);
  }
  EXPECT_EQ(cudaGraphLaunch(executable, first_), cudaSuccess);
  EXPECT_EQ(cudaGraphExecDestroy(executable), cudaSuccess);  // what was launched goes on
  EXPECT_EQ(cudaStreamSynchronize(first_), cudaSuccess);
}

TEST_F(MachineTest, WhatWaitsOrTouchesTheHostSpoilsACapture) {
  float host = 0;
  void* memory = nullptr;
  const std::function<cudaError_t()> refused[] = {
      [&] { return cudaStreamSynchronize(first_); },
      [&] { return cudaStreamQuery(first_); },
      [&] { return cudaDeviceSynchronize(); },
      [&] { return cudaEventRecord(event_, first_); },
      [&] { return cudaStreamWaitEvent(first_, event_); },
      [&] { return cudaEventSynchronize(event_); },
      [&] { return cudaEventQuery(event_); },
      [&] { return cudaMalloc(&memory, 64); },
      [&] { return cudaMallocHost(&memory, 64); },
      [&] { return cudaFree(device_); },
      [&] { return cudaFreeHost(pinned_); },
      [&] { return cudaMemcpyAsync(device_, &host, 4, cudaMemcpyHostToDevice, first_); },
      [&] { return cudaMemcpyAsync(pinned_, device_, 4, cudaMemcpyDeviceToHost, first_); }};
  for (const auto& call : refused) {
    EXPECT_EQ(cudaStreamBeginCapture(first_, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    EXPECT_EQ(cudaStreamBeginCapture(first_, cudaStreamCaptureModeThreadLocal),
              cudaErrorIllegalState);
    EXPECT_EQ(call(), cudaErrorStreamCaptureUnsupported);
    EXPECT_EQ(cudaMemset2DAsync(device_, 4, 0, 4, 1, first_), cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(cudaStreamSynchronize(second_), cudaSuccess);  // another stream's affair
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamEndCapture(first_, &graph), cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(graph, nullptr);
    EXPECT_EQ(cudaStreamEndCapture(first_, &graph), cudaErrorIllegalState);
    EXPECT_EQ(cudaStreamSynchronize(first_), cudaSuccess);
  }
}

TEST_F(MachineTest, WhatIsLeftBehindIsSaid) {
  (void)cudaStreamDestroy(first_);
  (void)cudaEventDestroy(event_);
  (void)cudaFreeHost(pinned_);
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamBeginCapture(second_, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  EXPECT_EQ(cudaStreamEndCapture(second_, &graph), cudaSuccess);
  try {
    start_machine({});
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(),
                 "the last machine was left with 1 streams, 1 graphs, 1 allocations of GPUs, ");
  }
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  start_machine({});
  first_ = second_ = nullptr;  // forgotten with everything else
  event_ = nullptr;
  pinned_ = nullptr;
  device_ = nullptr;
}

}  // namespace
}  // namespace finescale::cuda::emulation
