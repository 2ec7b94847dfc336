// SPDX-License-Identifier: Apache-2.0
// A weight as operations see it, and the linear layer with its low-rank branch.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/device.h"
#include "core/error.h"
#include "core/tensor.h"
#include "kernels/entries.h"
#include "kernels/gemm.h"
#include "kernels/quantised.h"

namespace finescale {

// Rows of a stacked weight that train by themselves; an empty gradient: that part of them does not.
struct WeightRows {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  TensorView gradient;
  TensorView bias_gradient;
  Entries entries = {};  // of the matrix that train, with places; else all do
  TensorView sums = {};  // [rows, C] f64: the whole gradient is added there too; empty: nowhere
};

// Where the gradient of a tensor of the base goes; see WeightRows.
struct TensorGradient {
  TensorView value;  // empty: it does not train
  Entries entries = {};
  TensorView sums = {};
};

// Rows of a stacked weight that are kept in a few bits.
struct QuantisedRows {
  std::int64_t begin = 0;
  const QuantisedMatrix* matrix = nullptr;
};

struct Weight {
  TensorView value;
  TensorView gradient;  // where it is added; bound before the pass that makes it
  TensorView bias;      // empty: none. Trains with the weight
  TensorView bias_gradient;
  std::vector<WeightRows> rows;  // where only some of them train: instead of the gradients above
  std::vector<QuantisedRows> quantised;  // instead of data of the value, which has a shape only
  TensorView rounded;  // value as bf16, kept because it does not train; empty: none
  bool trains = false;
  bool may_train = true;  // with gradients bound

  // What products multiply by, and in what tokens are looked up.
  [[nodiscard]] const TensorView& factor() const noexcept {
    return rounded.empty() ? value : rounded;
  }
};

// diag(rows) matrix diag(columns): the matrix is fixed, the diagonals train. It is made whenever it
// is multiplied by.
struct ScaledMatrix {
  TensorView matrix;  // [R, C]
  Weight rows;        // [R]
  Weight columns;     // [C]
};

// Low-rank branch of a stacked linear: y[:, part] += scale (x A_part^T) B_part^T. Parts without an
// adapter are absent.
struct LowRankPart {
  std::int64_t row_begin = 0;  // rows of the stacked weight = columns of y
  std::int64_t row_end = 0;
  Weight b;             // [rows, r]
  ScaledMatrix scaled;  // what b is made of; without a matrix it has values of its own
};
// Columns [begin, end) of y or of x, each multiplied by factor * constant.
struct ColumnFactors {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  Weight factor;        // [end - begin]
  TensorView constant;  // [end - begin], empty: ones
};
// What a method adds to a stacked linear; every member may be absent. `inputs` excludes a low-rank
// branch.
struct LowRank {
  Weight a;  // [parts * r, C]: the parts' A stacked in order; shared: [r, C]
  std::vector<LowRankPart> parts;
  std::int64_t rank = 0;
  double scale = 0;
  bool shares_a = false;               // all parts read the same x A^T
  const LowRank* frozen = nullptr;     // another branch of the same rank, which does not train
  std::vector<ColumnFactors> inputs;   // of x
  std::vector<ColumnFactors> outputs;  // of y
  bool scales_bias = false;            // outputs multiply the bias too

  [[nodiscard]] bool trains() const noexcept {
    return a.trains || is_scaled() || (!outputs.empty() && outputs.front().factor.trains) ||
           (!inputs.empty() && inputs.front().factor.trains);
  }
  [[nodiscard]] bool is_scaled() const noexcept {
    return !parts.empty() && !parts.front().scaled.matrix.empty();
  }
  // Of what is made for its parts, and for the largest of them.
  [[nodiscard]] std::int64_t made_elements() const noexcept;
  [[nodiscard]] std::int64_t largest_part() const noexcept;
};

// The adapter with the B of its parts made in `scratch`, of made_elements().
[[nodiscard]] LowRank with_made_parts(const Stream& stream, const LowRank& adapter,
                                      const TensorView& scratch);

// A small network beside the stream: x + gelu(x down^T) up^T.
struct BranchNetwork {
  Weight down;  // [w, C]
  Weight up;    // [C, w]
};

// Keys and values that every token sees in front of its segment.
struct PrefixKeys {
  Weight k;  // [P, K D], not rotated
  Weight v;  // [P, K D]
};

// Products that are carried out together (kernels/gemm.h): as many as a layer can have, on the
// stack.
class RowProducts {
 public:
  void add(double alpha, const TensorView& a, const TensorView& b, double beta,
           const TensorView& c) {
    FS_CHECK(count_ < products_.size(), "a layer has no more products");
    products_[count_++] = {alpha, a, b, beta, c};
  }
  void run(const Stream& stream, Transpose transpose_b) const {
    gemm_by_rows(stream, transpose_b, {products_.data(), count_});
  }

 private:
  static constexpr std::size_t kMost = 12;  // W and two branches of A and up to three B and sums
  std::array<RowProduct, kMost> products_;
  std::size_t count_ = 0;
};

// What a rank of the tensor group holds of a linear layer: a share of its outputs (rows of W; y is
// whole for them) or of its inputs (columns of W; y is a sum over ranks); or all of it, for the
// rows that are this rank's.
enum class Split { kOutputs, kInputs, kNone };

// y = x W^T without the bias and without factors, plus the low-rank branches when there are some;
// projected [T, parts * r] receives x A^T.
void linear_forward(const Stream& stream, const TensorView& x, const Weight& weight,
                    const LowRank* adapter, const TensorView& projected, const TensorView& y);
// The same, every row with the bits that it would have alone: for generation (kernels/row_gemm.h).
void linear_forward_by_rows(const Stream& stream, const TensorView& x, const Weight& weight,
                            const LowRank* adapter, const TensorView& projected,
                            const TensorView& y);
// dx [T, C] = dy W + beta dx, for a quantised W.
void quantised_input_gradient(const Stream& stream, const TensorView& dy, const Weight& weight,
                              double beta, const TensorView& dx);
// y = x with its columns multiplied; the others are copied. y may be x.
void multiply_columns(const Stream& stream, const std::vector<ColumnFactors>& factors,
                      const TensorView& x, const TensorView& y);

}  // namespace finescale
