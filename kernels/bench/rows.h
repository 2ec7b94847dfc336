// SPDX-License-Identifier: Apache-2.0
// What rows of kernels share: the shapes, memory to work on, and how a row is added.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/random.h"
#include "core/tensor.h"

namespace finescale::bench {

// Shapes of configs/presets; T as a micro-batch of training has it. Letters: T tokens, C width, H
// heads, F feed-forward width, V vocabulary.
struct Model {
  const char* name;
  std::int64_t T, C, H, F, V;
};
inline constexpr Model kModels[] = {{"tiny", 2048, 64, 4, 192, 512},
                                    {"small", 2048, 128, 4, 384, 2048},
                                    {"medium", 1024, 256, 8, 768, 8192}};
inline constexpr Model kSmolLm2 = {"smollm2-135m", 1024, 576, 9, 1536, 49152};
inline constexpr std::int64_t kSegment = 64;  // tokens of an example, about the mean of real text

class Array {
 public:
  explicit Array(Shape shape, DType dtype = DType::kF32)
      : bytes_(static_cast<std::size_t>(shape.num_elements()) * dtype_size(dtype) + 64),
        view_(aligned(), dtype, shape) {
    if (dtype == DType::kF32) {
      Random random(1, Purpose::kTest);
      for (std::int64_t i = 0; i < shape.num_elements(); ++i) {
        view_.as<float>()[i] = static_cast<float>(random.normal());
      }
    }
  }
  [[nodiscard]] const TensorView& view() const { return view_; }

 private:
  void* aligned() {
    void* start = bytes_.data();
    std::size_t space = bytes_.size();
    return std::align(64, bytes_.size() - 64, start, space);
  }
  std::vector<std::byte> bytes_;
  TensorView view_;
};

// What one call must compute and move at least: every input read once, every output written once.
struct Work {
  double flops = 0;
  double bytes = 0;
  double footprint = 0;  // memory that holds them, when less: some is read and written
};

void add(const std::string& name, const Work& work, std::function<void()> run);

inline double size(std::int64_t elements) {
  return 4.0 * static_cast<double>(elements);
}

inline double d(std::int64_t value) {
  return static_cast<double>(value);
}

template <class... Arrays>
std::shared_ptr<std::vector<Array>> arrays(Arrays... shapes) {
  auto all = std::make_shared<std::vector<Array>>();
  (all->emplace_back(shapes), ...);
  return all;
}

// Rows of a model's shapes.
void add_product_rows(const Model& m);
void add_decode_rows(const Model& m, const char* what, std::int64_t cols, std::int64_t inner);
void add_layer_rows(const Model& m);
void add_loss_and_update_rows(const Model& m);

}  // namespace finescale::bench
