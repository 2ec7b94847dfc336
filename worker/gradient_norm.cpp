// SPDX-License-Identifier: Apache-2.0
#include "worker/gradient_norm.h"

#include <cmath>
#include <cstring>
#include <span>

#include "core/error.h"
#include "kernels/gradient_norm.h"
#include "kernels/reduce.h"
#include "sharding/ordered_reduce.h"

namespace finescale {

GradientNorm::GradientNorm(const Stream& stream, Group& world, std::int64_t most_elements)
    : stream_(stream), world_(&world) {
  if (!stream.on_gpu()) {
    return;
  }
  constexpr std::int64_t kWords = ExactSum::kNumWords;
  const std::int64_t rows = square_rows(most_elements);
  const std::int64_t ranks = world.size();
  memory_ =
      AlignedBuffer(static_cast<std::size_t>((rows + 1 + ranks) * kWords + 1) * sizeof(double),
                    stream, MemoryPurpose::kScratch);
  auto* next = static_cast<double*>(memory_.data());
  const auto cut = [&next](Shape shape) {
    const TensorView view(next, DType::kF64, shape);
    next += shape.num_elements();
    return view;
  };
  words_ = cut({rows, kWords});
  own_ = cut({1, kWords});
  all_ = cut({ranks, kWords});
  norm_ = cut({1});
  const std::size_t count = memory_.size_bytes() / sizeof(double);
  FS_CHECK(next == static_cast<double*>(memory_.data()) + count,
           "the norm's parts fill its memory");
  for (std::int64_t rank = 0; rank <= ranks; ++rank) {
    offsets_.push_back(static_cast<std::size_t>(rank) * own_.size_bytes());
  }
  reading_ = stream.gpu()->make_reading(sizeof(double));
}

void GradientNorm::begin() {
  if (stream_.on_gpu()) {
    fill_zero(stream_, words_);
  } else {
    total_ = ExactSum();
  }
}

void GradientNorm::add(const TensorView& x) {
  if (stream_.on_gpu()) {
    add_squares(stream_, x, words_);
  } else {
    squared_norm_blocks(stream_, x, total_);
  }
}

void GradientNorm::finish() {
  if (!stream_.on_gpu()) {
    exact_all_reduce(*world_, total_);
    value_ = std::sqrt(total_.value());
    return;
  }
  sum_words(stream_, words_, own_);
  if (world_->size() > 1) {
    world_->all_gather({own_.as<const std::byte>(), own_.size_bytes()},
                       {all_.as<std::byte>(), all_.size_bytes()}, offsets_);
    sum_words(stream_, all_, own_);
  }
  root_of_words(stream_, own_, norm_);
  reading_->start(norm_.data);
  is_known_ = false;
}

double GradientNorm::value() {
  if (!is_known_) {
    std::memcpy(&value_, reading_->wait(), sizeof value_);
    is_known_ = true;
  }
  return value_;
}

}  // namespace finescale
