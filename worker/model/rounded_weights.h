// SPDX-License-Identifier: Apache-2.0
// The matrices of a piece that products multiply by and that do not train, as bf16: made once,
// beside their f32 values or in their place for streams with Products::kBf16, or read as such. What
// changes from step to step is a SharedOperand.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>

#include "core/aligned_buffer.h"
#include "core/device.h"
#include "core/tensor.h"
#include "worker/model/model_layout.h"
#include "worker/model/parameters.h"

namespace finescale {

// Tensors of matrices, and of tables in which tokens are looked up, all of whose tensors this holds
// for. `weights` has been declared by the layout.
[[nodiscard]] std::set<std::string> tensors_of_matrices(
    const ModelLayout& layout, const ParameterSet& weights,
    const std::function<bool(const std::string& tensor)>& holds);

class RoundedWeights {
 public:
  // Of stacks whose tensors are all stored, and frozen with their biases, where the stream's device
  // reads; nothing is rounded yet. has_table: tokens are looked up in bf16, too.
  RoundedWeights(const ModelLayout& layout, const ParameterSet& weights,
                 const std::function<bool(int tensor)>& is_frozen, const Stream& stream = Stream(),
                 bool has_table = false);
  // Of matrices and tables that the set leaves out because their values are bf16's: nothing is
  // lost, and row_gemm has the bits of the values. Nothing is read yet.
  struct LeftOut {};
  RoundedWeights(const ModelLayout& layout, const ParameterSet& weights, const Stream& stream,
                 LeftOut how);

  // Reads a tensor that was left out, some rows at a time, each row of the part once.
  using Read = std::function<void(const LocalPart& slab, const TensorView& values)>;
  void fill(int tensor, const Read& read);
  // The unit's values, in these blocks, have been read and stay.
  void round(const Stream& stream, int unit, const UnitBlocks& values);
  // The same, and the values' memory (PagedMemory) is given back: they are zero afterwards, but
  // for a table in which tokens are looked up and which is not has_table's.
  void replace(const Stream& stream, int unit, const UnitBlocks& values);

  // Whether no value was changed by rounding.
  [[nodiscard]] bool is_exact() const noexcept { return is_exact_; }
  // The matrix that begins with this tensor; empty: it is not rounded.
  [[nodiscard]] TensorView find(int first_tensor) const;
  // Where tokens are looked up instead of in the values; empty: there.
  [[nodiscard]] TensorView table(int tensor) const {
    return has_table_ ? find(tensor) : TensorView();
  }
  [[nodiscard]] std::size_t size_bytes() const noexcept { return memory_.size_bytes(); }
  // Of the values that replace() gives back, once all units went through it.
  [[nodiscard]] std::size_t replaced_bytes() const noexcept { return replaced_bytes_; }

 private:
  struct Matrix {
    int last_tensor = 0;
    int unit = 0;
    bool is_looked_up = false;
    TensorView rounded;
  };
  void add(const StackIndex& stack, bool is_looked_up);
  void allocate(const Stream& stream);
  template <class Visit>
  void for_each(int unit, const UnitBlocks& values, Visit&& visit) const;

  const ParameterSet* weights_;
  bool has_table_;
  bool is_exact_ = false;
  Stream stream_;                   // that reads what was left out
  std::map<int, Matrix> matrices_;  // by first tensor
  AlignedBuffer memory_;
  std::size_t replaced_bytes_ = 0;
};

}  // namespace finescale
