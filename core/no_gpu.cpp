// SPDX-License-Identifier: Apache-2.0
// What a build without CUDA has in the place of core/cuda: nobody gets a Gpu, so nothing else is
// ever called.
#include "core/error.h"
#include "core/gpu.h"
#include "core/gpu_range.h"

namespace finescale {

namespace {

constexpr const char* kWhyNone = "this build has no CUDA";
constexpr const char* kHint = "build with -DFINESCALE_CUDA=on where nvcc is on PATH";

[[noreturn]] void unreachable() {
  throw Error(ErrorKind::kInternal, kWhyNone);
}

}  // namespace

struct Gpu::Impl {};

GpuSurvey survey_gpus() noexcept {
  GpuSurvey survey;
  survey.why_none = kWhyNone;
  survey.hint = kHint;
  return survey;
}

Gpu::Gpu(int /*index*/, int /*rank*/) {
  throw Error(ErrorKind::kDevice, std::string("no GPU can be used: ") + kWhyNone, {}, kHint);
}
Gpu::~Gpu() = default;
const GpuInfo& Gpu::info() const noexcept {
  static const GpuInfo kNone;
  return kNone;
}
int Gpu::rank() const noexcept {
  return 0;
}
Stream Gpu::stream(KernelObserver* observer) noexcept {
  return Stream(DeviceType::kCuda, observer, this);
}
void* Gpu::allocate(std::size_t /*size_bytes*/, MemoryPurpose /*purpose*/) {
  unreachable();
}
void Gpu::release(void* /*memory*/) noexcept {}
bool Gpu::holds(const void* /*memory*/) const {
  return false;
}
// NOLINTNEXTLINE(performance-unnecessary-value-param): as it is declared
void Gpu::set_wait_check(std::function<void()> /*check*/) {}
GpuMemory Gpu::memory() const {
  unreachable();
}
void Gpu::copy_to_device(const void* /*host*/, void* /*device*/, std::size_t /*size_bytes*/) {
  unreachable();
}
void Gpu::copy_to_host(const void* /*device*/, void* /*host*/, std::size_t /*size_bytes*/) {
  unreachable();
}
std::unique_ptr<GpuReading> Gpu::make_reading(std::size_t /*size_bytes*/) {
  unreachable();
}
void Gpu::copy_on_device(const void* /*from*/, std::size_t /*from_pitch*/, void* /*to*/,
                         std::size_t /*to_pitch*/, std::size_t /*row_bytes*/,
                         std::size_t /*rows*/) {
  unreachable();
}
void Gpu::clear(void* /*device*/, std::size_t /*pitch*/, std::size_t /*row_bytes*/,
                std::size_t /*rows*/) {
  unreachable();
}
void Gpu::flush() {
  unreachable();
}
void Gpu::synchronize() {
  unreachable();
}
void* Gpu::native_stream() {
  unreachable();
}
LaunchQueue& Gpu::queue() {
  unreachable();
}
GpuGraphs Gpu::graphs() const {
  unreachable();
}
void GpuRange::open(const char* /*name*/, std::int64_t /*index*/) noexcept {}
void GpuRange::close() noexcept {}
GpuLibrary& Gpu::library(std::type_index /*type*/, const MakeLibrary& /*make*/) {
  unreachable();
}

}  // namespace finescale
