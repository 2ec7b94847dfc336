// SPDX-License-Identifier: Apache-2.0
// Random meshes: every tensor is cut along an axis into uneven parts, each part into flat ranges,
// and these are dealt over the ranks. All ranks draw the same numbers.
#pragma once

#include <algorithm>
#include <deque>
#include <random>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "core/random.h"
#include "tests/checkpoint/checkpoint_fixture.h"

namespace finescale {

struct Whole {
  const char* path;
  Shape shape;
  DType dtype;
};

// Smaller and larger than a block, of all ranks, with an axis of one.
inline const std::vector<Whole>& wholes() {
  static const std::vector<Whole> list = {
      {"/model/embed", {700, 501}, DType::kF32},       {"/model/norm", {513}, DType::kF32},
      {"/model/rope", {1, 9, 40}, DType::kF32},        {"/model/stack", {3, 5, 7, 11}, DType::kF32},
      {"/optimizer/m/embed", {700, 501}, DType::kF64}, {"/optimizer/step", {1}, DType::kF64}};
  return list;
}

// Pieces of the tensors above and their memory, each element's value given by its place.
class Pieces {
 public:
  void add(std::size_t number, const LocalPart& part, std::int64_t begin, std::int64_t end,
           DType dtype) {
    CheckpointTensor tensor;
    tensor.path = wholes()[number].path;
    tensor.shape = wholes()[number].shape;
    tensor.part = part;
    tensor.begin = begin;
    tensor.end = end;
    auto& memory =
        memory_.emplace_back(static_cast<std::size_t>(end - begin) * dtype_size(dtype) + 1);
    tensor.local = TensorView(memory.data(), dtype, Shape{end - begin});
    list_.push_back(tensor);
    numbers_.push_back(number);
  }
  void fill() {
    for_each([](double& element, double value) { element = value; });
  }
  [[nodiscard]] std::int64_t num_wrong() {
    std::int64_t wrong = 0;
    for_each(
        [&](const double& element, double value) { wrong += static_cast<int>(element != value); });
    return wrong;
  }
  [[nodiscard]] std::vector<CheckpointTensor>& list() { return list_; }

 private:
  static double value(std::size_t number, std::int64_t index) {
    const auto bits = philox(2, Purpose::kTest, number, static_cast<std::uint64_t>(index))[0] >> 8;
    return static_cast<double>(static_cast<float>(bits) * 0x1p-20F);
  }
  template <class Body>
  void for_each(Body body) {
    for (std::size_t i = 0; i < list_.size(); ++i) {
      const CheckpointTensor& tensor = list_[i];
      for (std::int64_t at = tensor.begin; at < tensor.end; ++at) {
        std::int64_t rest = at;
        std::int64_t index = 0;
        std::int64_t stride = 1;
        for (int axis = tensor.shape.rank - 1; axis >= 0; --axis) {
          index += (rest % tensor.part.shape[axis] + tensor.part.offset[axis]) * stride;
          rest /= tensor.part.shape[axis];
          stride *= tensor.shape[axis];
        }
        visit(tensor, at - tensor.begin, value(numbers_[i], index), body);
      }
    }
  }
  template <class Body>
  static void visit(const CheckpointTensor& tensor, std::int64_t at, double value, Body& body) {
    double element = tensor.local.dtype == DType::kF32
                         ? static_cast<double>(tensor.local.as<float>()[at])
                         : tensor.local.as<double>()[at];
    body(element, value);
    if (tensor.local.dtype == DType::kF32) {
      tensor.local.as<float>()[at] = static_cast<float>(element);
    } else {
      tensor.local.as<double>()[at] = element;
    }
  }

  std::vector<CheckpointTensor> list_;
  std::vector<std::size_t> numbers_;
  std::deque<std::vector<std::byte>> memory_;
};

using Draws = std::mt19937;
inline std::int64_t draw(Draws& random, std::int64_t below) {
  return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(below));
}
// 0 = first cut <= ... <= last cut = size.
inline std::vector<std::int64_t> draw_cuts(Draws& random, std::int64_t size, int pieces) {
  std::vector<std::int64_t> cuts = {0, size};
  for (int i = 1; i < pieces; ++i) {
    cuts.push_back(draw(random, size + 1));
  }
  std::sort(cuts.begin(), cuts.end());
  return cuts;
}

// This rank's pieces. When reading, some tensors are wanted whole by every rank or in the other
// type.
inline void deal(Pieces& pieces, unsigned seed, int rank, int size, bool reading) {
  Draws random(seed);
  for (std::size_t number = 0; number < wholes().size(); ++number) {
    const Shape& shape = wholes()[number].shape;
    DType dtype = wholes()[number].dtype;
    if (reading && draw(random, 3) == 0) {
      dtype = dtype == DType::kF32 ? DType::kF64 : DType::kF32;
    }
    LocalPart part{shape, shape};
    part.offset.dims = {};
    if (reading && draw(random, 3) == 0) {
      pieces.add(number, part, 0, shape.num_elements(), dtype);
      continue;
    }
    const auto axis = static_cast<std::size_t>(draw(random, shape.rank));
    const auto cuts = draw_cuts(random, shape.dims[axis], 1 + static_cast<int>(draw(random, 4)));
    for (std::size_t cut = 0; cut + 1 < cuts.size(); ++cut) {
      part.offset.dims[axis] = cuts[cut];
      part.shape.dims[axis] = cuts[cut + 1] - cuts[cut];
      const auto ranges = draw_cuts(random, part.shape.num_elements(), size + 1);
      for (std::size_t i = 0; i + 1 < ranges.size(); ++i) {
        if (draw(random, size) == rank) {
          pieces.add(number, part, ranges[i], ranges[i + 1], dtype);
        }
      }
    }
  }
}

inline void write_dealt(Group& group, const std::string& path, unsigned seed) {
  Pieces pieces;
  deal(pieces, seed, group.rank(), group.size(), false);
  pieces.fill();
  write_checkpoint(group, path, example_state(), pieces.list());
}

[[nodiscard]] inline std::int64_t num_wrong_dealt(Group& group, const std::string& path,
                                                  unsigned seed) {
  Pieces pieces;
  deal(pieces, seed, group.rank(), group.size(), true);
  for (CheckpointTensor& tensor : pieces.list()) {
    tensor.writes = seed % 2 == 0;  // no matter for reading
  }
  CheckpointReader(group, path).read(pieces.list());
  return pieces.num_wrong();
}

}  // namespace finescale
