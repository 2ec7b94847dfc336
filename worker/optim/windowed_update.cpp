// SPDX-License-Identifier: Apache-2.0
#include "worker/optim/windowed_update.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

#include "core/transfer.h"

namespace finescale {

namespace {

using Bytes = std::span<const std::byte>;

TensorView elements(const TensorView& all, std::int64_t begin, std::int64_t end) {
  return {all.as<std::byte>() + static_cast<std::size_t>(begin) * dtype_size(all.dtype), all.dtype,
          Shape{end - begin}};
}

std::size_t moment_bytes(MomentCode code) {
  return code == MomentCode::kInt8 ? 1 : 2;
}

// Empty where the rule keeps less.
std::array<Bytes, 2> moments_of(const UpdateRange& range) {
  const auto bytes = [](const TensorView& view) {
    return view.empty() ? Bytes() : Bytes(view.as<std::byte>(), view.size_bytes());
  };
  if (!range.packed) {
    return {bytes(range.m), bytes(range.v)};
  }
  const auto size =
      static_cast<std::size_t>(range.value.num_elements()) * moment_bytes(range.packed->code);
  return {Bytes(static_cast<const std::byte*>(range.packed->m), size),
          Bytes(static_cast<const std::byte*>(range.packed->v), size)};
}

// Calls visit(moment) for those of the range that lie in the file; null: none do.
template <class Visit>
void for_each_in_file(const FileMemory* file, const UpdateRange& range, const Visit& visit) {
  for (const Bytes& moment : moments_of(range)) {
    if (file != nullptr && !moment.empty()) {
      visit(moment);
    }
  }
}

// Calls body(begin, end) for each window of a range.
template <class Body>
void for_each_window(const UpdateRange& range, Body body) {
  const std::int64_t phase = range.packed ? range.packed->phase : 0;
  const std::int64_t size = range.value.num_elements();
  for (std::int64_t begin = 0; begin < size;) {
    const std::int64_t end = std::min(
        size, (begin + phase) / kWindowElements * kWindowElements + kWindowElements - phase);
    body(begin, end);
    begin = end;
  }
}

}  // namespace

UpdateRange part_of(const UpdateRange& range, std::int64_t begin, std::int64_t end) {
  UpdateRange part;
  part.value = elements(range.value, begin, end);
  part.gradient = elements(range.gradient, begin, end);
  part.is_matrix = range.is_matrix;
  part.rate = range.rate;
  part.rounding_key = range.rounding_key;
  if (!range.packed) {
    part.m = range.m.empty() ? TensorView() : elements(range.m, begin, end);
    part.v = range.v.empty() ? TensorView() : elements(range.v, begin, end);
    return part;
  }
  PackedMoments packed = *range.packed;
  const std::size_t skipped = static_cast<std::size_t>(begin) * moment_bytes(packed.code);
  packed.m = static_cast<std::byte*>(packed.m) + skipped;
  packed.v = static_cast<std::byte*>(packed.v) + skipped;
  packed.first_element += begin;
  if (begin > 0 && packed.code == MomentCode::kInt8) {
    const std::int64_t blocks = (packed.phase + begin) / kMomentBlock;
    packed.m_scales += blocks;
    packed.v_scales += blocks;
    packed.phase = 0;
  }
  part.packed = packed;
  return part;
}

void update_in_windows(const FileMemory* file, const UpdateRule& rule, const Stream& stream,
                       std::span<const UpdateRange> ranges, const UpdateStep& step) {
  std::optional<UpdateRange> current;
  const auto finish = [&] {
    if (!current) {
      return;
    }
    HostCopy value(stream, current->value, HostCopy::For::kReading);
    const HostCopy gradient(stream, current->gradient, HostCopy::For::kReading);
    UpdateRange range = *current;
    range.value = value.view();
    range.gradient = gradient.view();
    rule.update(Stream(), {&range, 1}, step);
    value.commit();
    for_each_in_file(file, range, [&](const Bytes& moment) { file->drop(moment); });
  };
  for (const UpdateRange& range : ranges) {
    for_each_window(range, [&](std::int64_t begin, std::int64_t end) {
      const UpdateRange next = part_of(range, begin, end);
      for_each_in_file(file, next, [&](const Bytes& moment) { file->prefetch(moment); });
      finish();
      current = next;
    });
  }
  finish();
}

}  // namespace finescale
