// SPDX-License-Identifier: Apache-2.0
#include "worker/optim/moments.h"

#include <algorithm>
#include <string>
#include <utility>

#include "core/error.h"
#include "core/hash.h"
#include "core/random.h"
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
                 std::int64_t seed, std::vector<MomentPart> parts,
                 std::optional<std::string> scratch)
    : form_(form),
      names_(std::move(slots)),
      dtype_(dtype),
      seed_(seed),
      scratch_(std::move(scratch)),
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
  memory_ = zeros(names_.size() * static_cast<std::size_t>(num_elements_) * element_bytes_);
  if (form_ == config::OPTIMIZER_STATE_INT8) {
    scales_ = AlignedBuffer(2 * static_cast<std::size_t>(num_blocks_) * sizeof(float));
  }
}

Moments::Memory Moments::zeros(std::size_t size_bytes) const {
  Memory memory;
  if (scratch_ && size_bytes > 0) {
    memory.file = FileMemory(*scratch_, size_bytes);
  } else {
    memory.buffer = AlignedBuffer(size_bytes);
  }
  return memory;
}

std::size_t Moments::memory_bytes() const noexcept {
  const std::size_t all = names_.size() * static_cast<std::size_t>(num_elements_) * element_bytes_;
  const std::size_t windows = 2 * names_.size() * static_cast<std::size_t>(kWindowElements) *
                              element_bytes_;  // one is read ahead
  return scales_.size_bytes() + (scratch_ ? std::min(all, windows) : all);
}

TensorView Moments::slot(std::size_t index, std::int64_t begin, std::int64_t size) const {
  if (index >= names_.size()) {
    return {};
  }
  const auto element =
      index * static_cast<std::size_t>(num_elements_) + static_cast<std::size_t>(begin);
  return {memory_.data() + element * element_bytes_, dtype_, Shape{size}};
}

PackedMoments Moments::packed(std::size_t index, std::int64_t step) const {
  const MomentPart& part = parts_[index];
  PackedMoments packed;
  packed.m = m(part.begin, part.size).data;
  packed.v = v(part.begin, part.size).data;
  packed.first_element = part.first_element;
  if (form_ == config::OPTIMIZER_STATE_INT8) {
    packed.code = MomentCode::kInt8;
    packed.m_scales = static_cast<float*>(scales_.data()) + first_blocks_[index];
    packed.v_scales = packed.m_scales + num_blocks_;
    packed.phase = part.phase;
  } else {
    packed.rounding_key = philox(static_cast<std::uint64_t>(seed_), Purpose::kRounding,
                                 static_cast<std::uint64_t>(step), keys_[index])[0];
  }
  return packed;
}

TensorView Moments::expanded(int moment, const MomentPart& part) const {
  auto* data = reinterpret_cast<float*>(expanded_.data());
  return {data + moment * num_elements_ + part.begin, DType::kF32, Shape{part.size}};
}

void Moments::leave(std::size_t index) const {
  if (!scratch_) {
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
  expanded_ = zeros(2 * static_cast<std::size_t>(num_elements_) * sizeof(float));
  for (std::size_t i = 0; purpose == For::kWriting && i < parts_.size(); ++i) {
    expand_moments(Stream(), packed(i, 0), expanded(0, parts_[i]), expanded(1, parts_[i]));
    leave(i);
  }
  auto* data = reinterpret_cast<float*>(expanded_.data());
  const FileMemory* file = scratch_ ? &expanded_.file : nullptr;
  return {Slot{"m", data, DType::kF32, file},
          Slot{has_root ? "v_root" : "v", data + num_elements_, DType::kF32, file}};
}

void Moments::pack() {
  for (std::size_t i = 0; is_packed() && i < parts_.size(); ++i) {
    pack_moments(Stream(), expanded(0, parts_[i]), expanded(1, parts_[i]), packed(i, 0));
    leave(i);
  }
  drop();
}

void Moments::drop() {
  expanded_ = Memory();
}

}  // namespace finescale
