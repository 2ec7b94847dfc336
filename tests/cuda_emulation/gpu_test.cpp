// SPDX-License-Identifier: Apache-2.0
// The device layer on the emulated machine: what it says when there is no GPU or not enough memory,
// and that copies and memory are right whatever runs when.
#include "core/gpu.h"

#include <cstring>
#include <numeric>
#include <string>

#include "core/arena.h"
#include "core/cuda/architectures.h"
#include "core/error.h"
#include "tests/cuda_emulation/gpu_fixture.h"

namespace finescale {
namespace {

using cuda::emulation::MachineSettings;
using cuda::emulation::start_machine;

// What opening a GPU of such a machine says.
Error error_of(const MachineSettings& settings, int index = 0) {
  start_machine(settings);
  try {
    const Gpu gpu(index, 0);
  } catch (const Error& error) {
    return error;
  }
  return {ErrorKind::kInternal, "nothing was thrown"};
}

void expect_device_error(const Error& error, const std::string& text, const std::string& hint) {
  EXPECT_EQ(exit_code(error.kind()), 3);
  EXPECT_NE(error.message().find(text), std::string::npos) << error.message();
  EXPECT_NE(error.hint().find(hint), std::string::npos) << error.hint();
}

TEST(GpuErrors, SayWhatIsMissingAndWhatToDo) {
  expect_device_error(error_of({.has_driver = false}), "no NVIDIA driver is installed",
                      "CUDA 13.0");
  expect_device_error(error_of({.driver_version = 12040}),
                      "supports CUDA 12.4, this build needs 13.0", "newer driver");
  expect_device_error(error_of({.devices = 0}), "sees no GPU", "CUDA_VISIBLE_DEVICES");
  expect_device_error(error_of({.devices = 2}, 2), "there is no GPU 2: the driver shows 2",
                      "no more ranks");
  expect_device_error(error_of({.major = 7, .minor = 5}), "no code for sm_75",
                      "FINESCALE_CUDA_ARCHS=75");
}

TEST(GpuErrors, ASurveyTakesNothing) {
  start_machine({.devices = 2, .major = 9});
  const GpuSurvey survey = survey_gpus();
  EXPECT_TRUE(survey.usable()) << survey.why_none;
  ASSERT_EQ(survey.gpus.size(), 2U);
  EXPECT_EQ(survey.gpus[1].name, "emulated GPU");
  EXPECT_EQ(survey.gpus[1].major, 9);
  EXPECT_NO_THROW(start_machine({}));
}

TEST(Architectures, CodeRunsOnItsGenerationAndPtxOnLaterOnes) {
  EXPECT_TRUE(runs_on("80", 8, 0));
  EXPECT_TRUE(runs_on("80", 8, 6));
  EXPECT_TRUE(runs_on("80", 12, 0));
  EXPECT_FALSE(runs_on("80", 7, 5));
  EXPECT_FALSE(runs_on("86-real;80-real", 9, 0));
  EXPECT_TRUE(runs_on("86-real,80-real", 8, 0));
  EXPECT_FALSE(runs_on("90-virtual", 8, 0));
  EXPECT_TRUE(runs_on("90-virtual", 10, 0));
  EXPECT_TRUE(runs_on("90a", 9, 0));
  EXPECT_FALSE(runs_on("90a", 10, 0));
}

class GpuTest : public OnGpu {};

TEST_P(GpuTest, BytesComeBackWhateverTheirNumber) {
  // Around a piece of the ring, around the ring, and often enough to go round it.
  for (const std::size_t count : {std::size_t{1}, std::size_t{1000}, (std::size_t{1} << 20) - 4,
                                  (std::size_t{1} << 20) + 12, std::size_t{9} << 20}) {
    std::vector<std::uint32_t> host(count / 4 + 1);
    std::iota(host.begin(), host.end(), static_cast<std::uint32_t>(count));
    const std::vector<std::uint32_t> sent = host;
    const AlignedBuffer device(4 * host.size(), stream());
    copy_to_device(stream(), host.data(), device.data(), 4 * host.size());
    std::fill(host.begin(), host.end(), 0U);  // at once
    copy_to_host(stream(), device.data(), host.data(), 4 * host.size());
    EXPECT_EQ(host, sent);
  }
  for (std::uint32_t i = 0; i < 700; ++i) {
    const AlignedBuffer device(7000, stream());
    copy_to_device(stream(), &i, static_cast<std::byte*>(device.data()) + 6996, 4);
    std::uint32_t back = 0;
    if (i % 100 == 0) {
      copy_to_host(stream(), static_cast<std::byte*>(device.data()) + 6996, &back, 4);
      EXPECT_EQ(back, i);
    }
  }
}

// The bytes of the moment of start(), whatever is enqueued behind it and however often it is asked.
TEST_P(GpuTest, AReadingIsWhatWasThereWhenItWasEnqueued) {
  AlignedBuffer memory(sizeof(double), stream());
  const std::unique_ptr<GpuReading> reading = gpu_->make_reading(sizeof(double));
  const auto taken = gpu_->memory().num_system_allocations;
  for (double value = 1; value < 6; ++value) {
    const double later = -value;
    gpu_->copy_to_device(&value, memory.data(), sizeof value);
    reading->start(memory.data());
    gpu_->copy_to_device(&later, memory.data(), sizeof later);
    double found = 0;
    for (int round = 0; round < 2 && value != 3; ++round) {  // and one that nobody asks for
      std::memcpy(&found, reading->wait(), sizeof found);
      EXPECT_EQ(found, value);
    }
    gpu_->copy_to_host(memory.data(), &found, sizeof found);
    EXPECT_EQ(found, later);
  }
  EXPECT_EQ(gpu_->memory().num_system_allocations, taken);
}

TEST_P(GpuTest, BuffersBeginAsZerosAlsoWhereOthersWere) {
  for (int i = 0; i < 3; ++i) {
    const AlignedBuffer device(4000, stream());
    std::vector<float> host(1000, 1);
    copy_to_host(stream(), device.data(), host.data(), 4000);
    EXPECT_EQ(host, std::vector<float>(1000, 0));
    std::fill(host.begin(), host.end(), 5.0F);
    copy_to_device(stream(), host.data(), device.data(), 4000);
  }
}

TEST_P(GpuTest, RowsAreCopiedAndClearedWithinTheirPitch) {
  std::vector<float> host(40);
  std::iota(host.begin(), host.end(), 0.0F);
  const AlignedBuffer from(160, stream());
  const AlignedBuffer to(160, stream());
  copy_to_device(stream(), host.data(), from.data(), 160);
  gpu_->copy_on_device(from.data(), 40, to.data(), 32, 12, 4);  // 3 of 10 columns into rows of 8
  gpu_->clear(from.data(), 40, 8, 4);
  std::vector<float> back(40);
  copy_to_host(stream(), to.data(), back.data(), 160);
  EXPECT_EQ(back[2], 2);
  EXPECT_EQ(back[3], 0);
  EXPECT_EQ(back[8], 10);
  copy_to_host(stream(), from.data(), back.data(), 160);
  EXPECT_EQ(back[31], 0);
  EXPECT_EQ(back[32], 32);
}

TEST_P(GpuTest, MemoryIsCountedAndUsedAgain) {
  EXPECT_EQ(gpu_->memory().in_use, 0U);
  {
    const AlignedBuffer one(std::size_t{3} << 20, stream());
    const AlignedBuffer other(1000, stream());
    EXPECT_EQ(gpu_->memory().in_use, (std::size_t{3} << 20) + 1024);
  }
  const GpuMemory before = gpu_->memory();
  EXPECT_EQ(before.in_use, 0U);
  EXPECT_EQ(before.peak, (std::size_t{3} << 20) + 1024);
  for (int step = 0; step < 5; ++step) {
    const AlignedBuffer one(std::size_t{2} << 20, stream());
    const AlignedBuffer other(900, stream());
  }
  EXPECT_EQ(gpu_->memory().num_system_allocations, before.num_system_allocations);
}

TEST_P(GpuTest, TooLittleMemorySaysWhatWasAskedWhatIsInUseAndWhichLeverToUse) {
  const AlignedBuffer held(std::size_t{200} << 20, stream());
  try {
    Arena activations(stream());
    activations.reserve(std::size_t{100} << 20);
    FAIL();
  } catch (const Error& error) {
    expect_device_error(error, "GPU 0 of rank 2 has no 100.0 MiB for activations",
                        "train.micro_batch_tokens");
    expect_device_error(error, "this rank uses 200.0 MiB", "recompute");
    expect_device_error(error, "56.0 MiB of 256.0 MiB are free", "");
  }
  EXPECT_THROW(AlignedBuffer(std::size_t{100} << 20, stream(), MemoryPurpose::kOptimizer), Error);
}

TEST_P(GpuTest, WhatIsKeptForNobodyIsGivenBackWhenMemoryIsShort) {
  { const AlignedBuffer held(std::size_t{200} << 20, stream()); }
  EXPECT_EQ(gpu_->memory().held, std::size_t{200} << 20);
  EXPECT_NO_THROW(AlignedBuffer(std::size_t{220} << 20, stream()));
}

TEST_P(GpuTest, AFaultNamesExpressionGpuAndRank) {
  cuda::emulation::break_device(0, cudaErrorIllegalAddress);
  try {
    gpu_->synchronize();
    FAIL();
  } catch (const Error& error) {
    expect_device_error(error, "cudaErrorIllegalAddress", "compute-sanitizer");
    expect_device_error(error, "in cudaEventRecord(", "");
    expect_device_error(error, "on GPU 0 of rank 2", "");
    EXPECT_NE(std::string(error.file()).find("gpu.cpp"), std::string::npos);
  }
}

TEST_P(GpuTest, AWaitThatIsInVainIsEndedByWhoKnows) {
  (void)cuda::emulation::enqueue(static_cast<cudaStream_t>(gpu_->native_stream()),
                                 {"a peer that never comes", [] {}, [] { return false; }});
  gpu_->set_wait_check([] { throw Error(ErrorKind::kComm, "the peer is gone"); });
  EXPECT_THROW(gpu_->synchronize(), Error);
  gpu_->set_wait_check(nullptr);
  cuda::emulation::drop_work();
  EXPECT_NO_THROW(gpu_->synchronize());
}

TEST_P(GpuTest, AHostCopyReadsAndWritesATensorOfTheGpu) {
  Twin tensor(stream(), DType::kF32, {5, 7}, 1);
  HostCopy copy(stream(), tensor.gpu(), HostCopy::For::kReading);
  for (std::int64_t i = 0; i < 35; ++i) {
    EXPECT_EQ(copy.view().as<float>()[i], tensor.host().as<float>()[i]);
    copy.view().as<float>()[i] = tensor.host().as<float>()[i] = static_cast<float>(i);
  }
  copy.commit();
  EXPECT_EQ(tensor.difference(), 0);
}

INSTANTIATE_TEST_SUITE_P(Paces, GpuTest, all_paces(), pace_name);

}  // namespace
}  // namespace finescale
