// SPDX-License-Identifier: Apache-2.0
// Adapters on chosen linear layers: low-rank branches, and factors of their inputs or outputs.
// Declares their parameters, cut as the base's matrices are, and ties them to what the model reads.
// Their first values are the method's business.
#pragma once

#include <array>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "worker/methods/method.h"

namespace finescale {

// What the targeted matrices get.
struct AdapterPlan {
  std::string method;                // lora: to name it in messages
  std::vector<std::string> modules;  // q_proj ...; empty: all seven
  std::int64_t rank = 0;             // 0: no low-rank branch
  double scale = 0;
  bool has_frozen_branch = false;                         // A0, B0: constants
  std::string factor_name;                                // of the vectors; empty: no factors
  std::function<bool(std::string_view module)> on_input;  // its factors multiply x; null: y
  bool scales_bias = false;
  bool is_scaled = false;  // the branch is random and frozen, its diagonals train: bind_scaled()
};

class LinearAdapters {
 public:
  // Parameters are zero and bound to memory of their own.
  LinearAdapters(const MethodInput& input, const AdapterPlan& plan);
  ~LinearAdapters() = default;
  LinearAdapters(const LinearAdapters&) = delete;  // layers point here
  LinearAdapters& operator=(const LinearAdapters&) = delete;

  // An adapted matrix; indices of tensors are -1 where there is none.
  struct Target {
    int base = -1;  // in the base's set
    int a = -1, b = -1, factor = -1;
    int frozen_a = -1, frozen_b = -1;  // in constants()
    int d = -1, rows = -1;             // diagonals, of the columns of B and of its rows
    ColumnFactors* factors = nullptr;
    bool is_on_input = false;
  };
  [[nodiscard]] const std::vector<Target>& targets() const noexcept { return targets_; }
  [[nodiscard]] std::vector<int> bases() const;
  [[nodiscard]] ParameterSet& parameters() noexcept { return parameters_; }
  [[nodiscard]] const ParameterSet& parameters() const noexcept { return parameters_; }
  [[nodiscard]] ParameterSet& constants() noexcept { return constants_; }
  [[nodiscard]] bool has_constants() const noexcept { return constants_.size() > 0; }
  // The branches of all layers: the beginnings of a [rank, widest] and of b [tallest, rank].
  void bind_scaled(const ParameterSet& base, const TensorView& a, const TensorView& b);
  void bind_values(const UnitBlocks& blocks);
  void bind_gradient(const UnitBlocks& blocks);
  [[nodiscard]] std::vector<LayerAdapters> layers() const;
  // Where the values are.
  [[nodiscard]] TensorView value(int tensor) const { return parameters_.view_in(values_, tensor); }

 private:
  struct Part {  // of a stacked projection
    std::string_view module;
    int base;
    std::int64_t begin, end;  // rows of the stacked weight
  };
  struct Stacked {
    LowRank low_rank;
    LowRank frozen;
    int a_first = -1, a_last = -1;
    int frozen_first = -1, frozen_last = -1;
    std::vector<int> b, frozen_b;
    std::vector<int> bases, d, rows;   // of scaled parts
    std::vector<int> outputs, inputs;  // factors, in the order of those of low_rank
  };
  [[nodiscard]] std::vector<Part> targeted(const ParameterSet& base,
                                           std::initializer_list<Part> stack) const;
  int declare(const ParameterSet& base, const std::vector<Part>& chosen);
  void declare_branch(const ParameterSet& base, const std::vector<Part>& chosen, bool frozen,
                      Stacked& stacked, std::size_t first_target);
  void declare_scaled(const ParameterSet& base, const std::vector<Part>& chosen, Stacked& stacked,
                      std::size_t first_target);
  void declare_factors(const ParameterSet& base, const std::vector<Part>& chosen, Stacked& stacked,
                       std::size_t first_target);
  [[nodiscard]] const LowRank* at(int index) const {
    return index < 0 ? nullptr : &stacks_[static_cast<std::size_t>(index)].low_rank;
  }

  AdapterPlan plan_;
  ParameterSet parameters_;
  ParameterSet constants_;
  UnitBlocks values_;
  std::deque<Stacked> stacks_;  // addresses stay
  std::vector<Target> targets_;
  std::vector<std::array<int, 4>> layers_;  // of stacks: qkv, o, gate and up, down
};

// Element i of the whole tensor takes the i-th uniform number of the tensor's stream, in +-bound.
void fill_uniform(std::int64_t seed, const LogicalTensor& tensor, const LocalPart& part,
                  const TensorView& view, double bound);
// A [r, C] in +-1 / sqrt(C): kaiming-uniform(a = sqrt 5).
void fill_uniform(std::int64_t seed, const LogicalTensor& tensor, const LocalPart& part,
                  const TensorView& view);
// This rank's part of a tensor whose whole value is row-major in `whole`.
void fill_part(const std::vector<double>& whole, const LogicalTensor& tensor, const LocalPart& part,
               const TensorView& view);

}  // namespace finescale
