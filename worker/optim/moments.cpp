// SPDX-License-Identifier: Apache-2.0
#include "worker/optim/moments.h"

#include <algorithm>
#include <string>
#include <utility>

#include "core/error.h"
#include "core/hash.h"
#include "core/random.h"
#include "core/transfer.h"
#include "sharding/shard_plan.h"
#include "worker/optim/windowed_update.h"

namespace finescale {

namespace {

static_assert(kMomentBlock == kSliceBlock, "cuts between ranks would split blocks");

std::size_t bytes_of(config::OptimizerState form, DType dtype) {
  switch (form) {
    case config::OPTIMIZER_STATE_FULL:
      return dtype_size(dtype);
    case config::OPTIMIZER_STATE_BF16:
      return 2;
    case config::OPTIMIZER_STATE_INT8:
      return 1;
  }
  throw Error(ErrorKind::kInternal, "a form of moments without a size");
}

std::uint64_t key_of(const std::string& name) {
  return std::stoull(hash_hex(name).substr(0, 16), nullptr, 16);
}

}  // namespace

Moments::Moments(config::OptimizerState form, std::vector<std::string> slots, DType dtype,
                 std::int64_t seed, std::vector<MomentPart> parts, MomentPlace place)
    : form_(form),
      names_(std::move(slots)),
      dtype_(dtype),
      seed_(seed),
      place_(std::move(place)),
      parts_(std::move(parts)),
      element_bytes_(bytes_of(form, dtype)) {
  FS_CHECK(!is_packed() || names_.size() == 2, "only two moments are packed");
  for (const MomentPart& part : parts_) {
    FS_CHECK(part.begin == num_elements_, "parts of moments with a hole");
    num_elements_ += part.size;
    keys_.push_back(key_of(part.tensor));
    first_blocks_.push_back(num_blocks_);
    num_blocks_ += PackedMoments{.phase = part.phase}.num_blocks(part.size);
  }
  memory_ = zeros(names_.size() * static_cast<std::size_t>(num_elements_) * element_bytes_,
                  place_.stream);
  if (form_ == config::OPTIMIZER_STATE_INT8) {
    scales_ = AlignedBuffer(2 * static_cast<std::size_t>(num_blocks_) * sizeof(float),
                            place_.stream, MemoryPurpose::kOptimizer);
  }
}

Moments::Memory Moments::zeros(std::size_t size_bytes, const Stream& where) const {
  Memory memory;
  if (place_.scratch && size_bytes > 0) {
    memory.file = FileMemory(*place_.scratch, size_bytes);
  } else {
    memory.buffer = AlignedBuffer(size_bytes, where, MemoryPurpose::kOptimizer);
  }
  return memory;
}

std::size_t Moments::memory_bytes() const noexcept {
  const std::size_t all = names_.size() * static_cast<std::size_t>(num_elements_) * element_bytes_;
  const std::size_t windows = 2 * names_.size() * static_cast<std::size_t>(kWindowElements) *
                              element_bytes_;  // one is read ahead
  return scales_.size_bytes() + (place_.scratch ? std::min(all, windows) : all);
}

TensorView Moments::slot(std::size_t index, std::int64_t begin, std::int64_t size) const {
  if (index >= names_.size()) {
    return {};
  }
  const auto element =
      index * static_cast<std::size_t>(num_elements_) + static_cast<std::size_t>(begin);
  return {memory_.data() + element * element_bytes_, dtype_, Shape{size}};
}

PackedMoments Moments::packed_in(const void* codes, const void* scales, std::size_t index) const {
  const MomentPart& part = parts_[index];
  auto* const bytes = static_cast<std::byte*>(const_cast<void*>(codes));
  PackedMoments packed;
  packed.m = bytes + static_cast<std::size_t>(part.begin) * element_bytes_;
  packed.v = bytes + static_cast<std::size_t>(num_elements_ + part.begin) * element_bytes_;
  packed.first_element = part.first_element;
  if (form_ == config::OPTIMIZER_STATE_INT8) {
    packed.code = MomentCode::kInt8;
    packed.m_scales = static_cast<float*>(const_cast<void*>(scales)) + first_blocks_[index];
    packed.v_scales = packed.m_scales + num_blocks_;
    packed.phase = part.phase;
  }
  return packed;
}

PackedMoments Moments::packed(std::size_t index) const {
  return packed_in(memory_.data(), scales_.data(), index);
}

std::uint32_t Moments::rounding_key(std::size_t index, std::int64_t step) const {
  return form_ != config::OPTIMIZER_STATE_BF16
             ? 0
             : philox(static_cast<std::uint64_t>(seed_), Purpose::kRounding,
                      static_cast<std::uint64_t>(step), keys_[index])[0];
}

TensorView Moments::codes() const {  // in two bytes each, whatever they hold
  const auto bytes = 2 * num_elements_ * static_cast<std::int64_t>(element_bytes_);
  return {memory_.data(), DType::kBf16, Shape{bytes / 2}};
}

TensorView Moments::scales() const {
  return {scales_.data(), DType::kF32, Shape{scales_.size_bytes() == 0 ? 0 : 2 * num_blocks_}};
}

TensorView Moments::expanded(int moment, const MomentPart& part) const {
  auto* data = reinterpret_cast<float*>(expanded_.data());
  return {data + moment * num_elements_ + part.begin, DType::kF32, Shape{part.size}};
}

void Moments::leave(std::size_t index) const {
  if (!place_.scratch) {
    return;
  }
  const MomentPart& part = parts_[index];
  const auto bytes = static_cast<std::size_t>(part.size) * element_bytes_;
  for (const TensorView& view : {m(part.begin, part.size), v(part.begin, part.size)}) {
    memory_.file.drop({view.as<const std::byte>(), bytes});
  }
  for (const TensorView& view : {expanded(0, part), expanded(1, part)}) {
    expanded_.file.drop({view.as<const std::byte>(), view.size_bytes()});
  }
}

std::vector<Moments::Slot> Moments::slots(For purpose) {
  const bool has_root = form_ == config::OPTIMIZER_STATE_INT8;
  if (!is_packed()) {
    std::vector<Slot> all;
    for (std::size_t i = 0; i < names_.size(); ++i) {
      all.push_back({names_[i], slot(i, 0, 0).data, dtype_, file()});
    }
    return all;
  }
  expanded_ = zeros(2 * static_cast<std::size_t>(num_elements_) * sizeof(float), Stream());
  if (purpose == For::kWriting) {
    const HostCopy bytes(place_.stream, codes(), HostCopy::For::kReading);
    const HostCopy factors(place_.stream, scales(), HostCopy::For::kReading);
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      expand_moments(Stream(), packed_in(bytes.view().data, factors.view().data, i),
                     expanded(0, parts_[i]), expanded(1, parts_[i]));
      leave(i);
    }
  }
  auto* data = reinterpret_cast<float*>(expanded_.data());
  const FileMemory* file = place_.scratch ? &expanded_.file : nullptr;
  return {Slot{"m", data, DType::kF32, file},
          Slot{has_root ? "v_root" : "v", data + num_elements_, DType::kF32, file}};
}

void Moments::pack() {
  if (is_packed()) {
    HostCopy bytes(place_.stream, codes(), HostCopy::For::kWriting);
    HostCopy factors(place_.stream, scales(), HostCopy::For::kWriting);
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      pack_moments(Stream(), expanded(0, parts_[i]), expanded(1, parts_[i]),
                   packed_in(bytes.view().data, factors.view().data, i));
      leave(i);
    }
    bytes.commit();
    factors.commit();
  }
  drop();
}

void Moments::drop() {
  expanded_ = Memory();
}

}  // namespace finescale
