// SPDX-License-Identifier: Apache-2.0
// What an adapter changes of a model's matrices, and a source of weights with that change merged
// in. LoRA: W + s B A (Hu et al. 2021). DoRA: rows of that, brought to a length of their own (Liu
// et al. 2024). IA3: W with its rows or its columns scaled (Liu et al. 2022).
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "configs/schema/train.pb.h"
#include "core/tensor.h"
#include "worker/import/weight_source.h"

namespace finescale {

// Of one matrix [out, in], in the orientation of the logical tensor.
struct ModuleChange {
  int rank = 0;                   // 0: no low-rank part
  double scale = 1;               // s
  std::vector<double> a;          // [rank, in]
  std::vector<double> b;          // [out, rank]
  std::vector<double> magnitude;  // [out]: DoRA
  std::vector<double> outputs;    // [out]: factors of rows, and of the bias
  std::vector<double> inputs;     // [in]: factors of columns
  // VeRA: b is diag(outer) B diag(inner) of the adapter's B, a the beginning of its A.
  std::vector<double> outer, inner;
};

struct WholeTensor {
  Shape shape;
  std::vector<double> values;  // row-major
};

struct Adapter {
  std::string why_apart;  // what forbids it to be merged: `apart` holds it; empty: nothing
  config::Method method;  // with why_apart: computes it
  std::map<std::string, WholeTensor> apart;     // the method's tensors, by name
  std::vector<double> vera_a, vera_b;           // [rank, widest], [tallest, rank]; empty: no VeRA
  std::map<std::string, ModuleChange> modules;  // model.layers.0.self_attn.q_proj
};

// Why what a method learns is no change of matrices; empty: it is one.
[[nodiscard]] std::string why_apart(const config::Method& method);
// The adapter that a stage of ours left, with the scale that its method gives it.
[[nodiscard]] Adapter read_own_adapter(const std::string& checkpoint);

// Sums are taken in f64 and rounded once. The adapter's modules must be the model's.
[[nodiscard]] std::unique_ptr<WeightSource> with_adapter(std::unique_ptr<WeightSource> base,
                                                         Adapter adapter);

}  // namespace finescale
