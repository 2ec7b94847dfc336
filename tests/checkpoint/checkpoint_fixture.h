// SPDX-License-Identifier: Apache-2.0
// Tensors with known content in every split that a test wants.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "core/random.h"

namespace finescale {

inline CheckpointState example_state() {
  CheckpointState state;
  state.step = 7;
  state.tokens = 12345;
  state.labels = 999;
  state.examples = 64;
  state.seconds = 1.5;
  state.train_flops = 3e12;
  state.base_key = "abc";
  state.stage_text = "train { steps: 7 }\n";
  state.model_text = "layers: 2\n";
  state.result = std::string("\0\1\xff\0", 4);
  state.numbers = {{"best loss", 0.25}, {"a/b", -1.0}};
  return state;
}

// Owns the memory of the tensors it describes. split_axis: -1 whole on every rank (the rank that
// `writer` names writes), else that axis is cut over the ranks and each writes its part.
class Tensors {
 public:
  void add(const std::string& path, Shape shape, DType dtype, int rank, int size,
           int split_axis = -1, int writer = 0) {
    CheckpointTensor tensor;
    tensor.path = path;
    tensor.shape = shape;
    tensor.part.shape = shape;
    tensor.part.offset = shape;
    tensor.part.offset.dims = {};
    tensor.writes = split_axis >= 0 || rank == writer;
    if (split_axis >= 0) {
      const auto axis = static_cast<std::size_t>(split_axis);
      tensor.part.offset.dims[axis] = shape.dims[axis] * rank / size;
      tensor.part.shape.dims[axis] =
          shape.dims[axis] * (rank + 1) / size - tensor.part.offset.dims[axis];
    }
    auto& memory = memory_.emplace_back(static_cast<std::size_t>(tensor.part.shape.num_elements()) *
                                        dtype_size(dtype));
    tensor.local = TensorView(memory.data(), dtype, tensor.part.shape);
    list_.push_back(tensor);
  }
  // A number for each element of the logical tensor, from its place in the whole.
  void fill() {
    for (std::size_t i = 0; i < list_.size(); ++i) {
      for_each(i, [&](std::int64_t local, std::uint64_t whole) { set(i, local, value(i, whole)); });
    }
  }
  void clear() {
    for (auto& memory : memory_) {
      std::fill(memory.begin(), memory.end(), std::byte{0});
    }
  }
  // How many elements are not what fill() gives, read as f32 values.
  [[nodiscard]] std::int64_t num_wrong() const {
    std::int64_t wrong = 0;
    for (std::size_t i = 0; i < list_.size(); ++i) {
      for_each(i, [&](std::int64_t local, std::uint64_t whole) {
        wrong += static_cast<int>(get(i, local) != value(i, whole));
      });
    }
    return wrong;
  }
  [[nodiscard]] const std::vector<CheckpointTensor>& list() const { return list_; }
  [[nodiscard]] std::vector<CheckpointTensor>& list() { return list_; }

 private:
  static float value(std::size_t tensor, std::uint64_t index) {
    return static_cast<float>(philox(1, Purpose::kTest, tensor, index)[0] >> 8) * 0x1p-20F;
  }
  template <class Body>
  void for_each(std::size_t i, Body body) const {
    const CheckpointTensor& tensor = list_[i];
    const std::int64_t count = tensor.part.shape.num_elements();
    for (std::int64_t local = 0; local < count; ++local) {
      std::int64_t rest = local;
      std::int64_t whole = 0;
      std::int64_t stride = 1;
      for (int axis = tensor.shape.rank - 1; axis >= 0; --axis) {
        whole += (rest % tensor.part.shape[axis] + tensor.part.offset[axis]) * stride;
        rest /= tensor.part.shape[axis];
        stride *= tensor.shape[axis];
      }
      body(local, static_cast<std::uint64_t>(whole));
    }
  }
  void set(std::size_t i, std::int64_t local, float number) {
    if (list_[i].local.dtype == DType::kF32) {
      list_[i].local.as<float>()[local] = number;
    } else {
      list_[i].local.as<double>()[local] = static_cast<double>(number);
    }
  }
  [[nodiscard]] float get(std::size_t i, std::int64_t local) const {
    return list_[i].local.dtype == DType::kF32
               ? list_[i].local.as<float>()[local]
               : static_cast<float>(list_[i].local.as<double>()[local]);
  }

  std::vector<CheckpointTensor> list_;
  std::deque<std::vector<std::byte>> memory_;
};

// Tensors of all kinds at once: whole, split by rows and by columns, f64, tiny.
inline void add_examples(Tensors& tensors, int rank, int size) {
  tensors.add("/model/model.embed_tokens.weight", Shape{37, 16}, DType::kF32, rank, size);
  tensors.add("/model/rows", Shape{19, 8}, DType::kF32, rank, size, 0);
  tensors.add("/model/columns", Shape{5, 23}, DType::kF32, rank, size, 1);
  tensors.add("/adapter/default/layers.0.q.A", Shape{2, 3, 4}, DType::kF32, rank, size, -1,
              size - 1);
  tensors.add("/optimizer/m/scalar", Shape{1}, DType::kF64, rank, size);
  tensors.fill();
}

}  // namespace finescale
