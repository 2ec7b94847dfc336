// SPDX-License-Identifier: Apache-2.0
#include "worker/eval/pass_tables.h"

#include "core/error.h"
#include "core/transfer.h"

namespace finescale {

PassTables::PassTables(const Stream& stream, std::int64_t rows, std::int64_t outputs)
    : memory_(static_cast<std::size_t>(rows + outputs) * sizeof(CachedToken) +
                  static_cast<std::size_t>(2 * rows + outputs) * sizeof(std::int32_t),
              stream, MemoryPurpose::kActivations) {
  staged_.reserve(memory_.size_bytes());
}

void PassTables::upload(const Stream& stream, const Pass& pass) {
  staged_.clear();
  auto* const device = static_cast<std::byte*>(memory_.data());
  const auto put = [&](const auto& values) {  // the wide ones first: all lie on their size
    const auto bytes = std::as_bytes(values);
    void* const place = device + staged_.size();
    staged_.insert(staged_.end(), bytes.begin(), bytes.end());
    return place;
  };
  const auto put_ids = [&](std::span<const std::int32_t> ids) {
    return TensorView(put(ids), DType::kI32, Shape{static_cast<std::int64_t>(ids.size())});
  };
  places_ = static_cast<const CachedToken*>(put(pass.places));
  output_places_ = static_cast<const CachedToken*>(put(pass.output_places));
  tokens_ = put_ids(pass.tokens);
  positions_ = put_ids(pass.positions);
  outputs_ = put_ids(pass.outputs);
  FS_CHECK(staged_.size() <= memory_.size_bytes(), "a pass has no more rows than it said");
  copy_to_device(stream, staged_.data(), device, staged_.size());
}

}  // namespace finescale
