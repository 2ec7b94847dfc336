// SPDX-License-Identifier: Apache-2.0
// Which tensors of a model train under a method that names some of them, and what that costs. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "configs/decoder.h"
#include "configs/schema/train.pb.h"

namespace finescale {

struct TensorChoice {
  std::vector<std::string> patterns;  // empty: every name
  std::vector<int> layers;            // empty: every layer, and what is outside of layers
};
// What the method asks for; nothing for methods that do not choose.
[[nodiscard]] std::optional<TensorChoice> tensor_choice(const config::Method& method);

// model.layers.3.mlp.up_proj.weight: 3; -1 outside of layers.
[[nodiscard]] int layer_of(const std::string& tensor);
// Whether the pattern stands for the name, or for some of its parts between dots.
[[nodiscard]] bool matches(const std::string& pattern, const std::string& tensor);
[[nodiscard]] bool is_chosen(const TensorChoice& choice, const std::string& tensor);
[[nodiscard]] std::vector<LogicalShape> chosen_tensors(const DecoderShape& model,
                                                       const TensorChoice& choice);
// The tensor that the pattern was most likely meant to stand for; empty: none is near.
[[nodiscard]] std::string nearest_tensor(const DecoderShape& model, const std::string& pattern);

// Which matrices lift trains elements of, and how many of each [rows, columns].
[[nodiscard]] bool is_lift_target(const config::Lift& config, const std::string& tensor);
[[nodiscard]] std::int64_t lift_count(const config::Lift& config, std::int64_t rows,
                                      std::int64_t columns);
// Tensors that train, or of which elements do; nothing where the method trains all or none.
[[nodiscard]] std::optional<std::vector<LogicalShape>> trained_tensors(const config::Method& method,
                                                                       const DecoderShape& model);

// Elements of matrices that a token multiplies, apart from the forward pass.
struct BackwardWork {
  std::int64_t inputs = 0;   // matrices whose inputs need a gradient: dX
  std::int64_t weights = 0;  // matrices that train: dW
  int attention = 0;         // layers with a backward pass of attention
  bool head_inputs = false;  // the same of the head, by labelled token
  bool head_weights = false;
  int first_layer = 0;  // below it there is no backward pass
};
// Of a model whose tensors train where trains(name) says so.
[[nodiscard]] BackwardWork backward_work(const DecoderShape& model,
                                         const std::vector<LogicalShape>& trained);

}  // namespace finescale
