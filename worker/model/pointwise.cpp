// SPDX-License-Identifier: Apache-2.0
#include "worker/model/pointwise.h"

#include "core/error.h"
#include "kernels/bias.h"
#include "kernels/gelu.h"
#include "kernels/layernorm.h"
#include "kernels/reduce.h"
#include "kernels/rmsnorm.h"
#include "kernels/swiglu.h"

namespace finescale {

NormRule norm_rule(const DecoderShape& shape) {
  return {.kind = shape.norm, .eps = shape.norm_eps, .offset = shape.norm_offset};
}

ActivationRule activation_rule(const DecoderShape& shape) {
  return {.kind = shape.activation, .gated = shape.gated};
}

namespace {

// What RMSNorm multiplies by.
TensorView factors(const Stream& stream, const NormRule& rule, const Weight& weight,
                   const TensorView& shifted) {
  if (rule.offset == 0) {
    return weight.value;
  }
  copy(stream, weight.value, shifted);
  affine_in_place(stream, 1, rule.offset, shifted);
  return shifted;
}

// [T] or [T, 2] over the same memory.
TensorView rows_of(const TensorView& statistics, std::int64_t rows, std::int64_t columns) {
  return {statistics.data, statistics.dtype, columns == 1 ? Shape{rows} : Shape{rows, columns}};
}

Gelu gelu_kind(DecoderShape::Activation kind) {
  FS_CHECK(kind != DecoderShape::Activation::kSilu, "SiLU comes with a gate only");
  return kind == DecoderShape::Activation::kGeluTanh ? Gelu::kTanh : Gelu::kErf;
}

}  // namespace

void norm_forward(const Stream& stream, const NormRule& rule, const TensorView& x,
                  const TensorView& residual, const Weight& weight, const TensorView& shifted,
                  const TensorView& y, const TensorView& statistics) {
  const TensorView rows = rows_of(statistics, x.rows(), rule.num_statistics());
  switch (rule.kind) {
    case DecoderShape::Norm::kRms:
      rmsnorm_forward(stream, x, residual, factors(stream, rule, weight, shifted), rule.eps, y,
                      rows);
      return;
    case DecoderShape::Norm::kLayer:
      layernorm_forward(stream, x, residual, weight.value, weight.bias, rule.eps, y, rows);
      return;
  }
}

void norm_backward(const Stream& stream, const NormRule& rule, const TensorView& dy,
                   const TensorView& x, const Weight& weight, const TensorView& shifted,
                   const TensorView& statistics, const TensorView& dx) {
  const TensorView rows = rows_of(statistics, x.rows(), rule.num_statistics());
  const TensorView dweight = weight.trains ? weight.gradient : TensorView();
  switch (rule.kind) {
    case DecoderShape::Norm::kRms:
      rmsnorm_backward(stream, dy, x, factors(stream, rule, weight, shifted), rows, dx, dweight);
      return;
    case DecoderShape::Norm::kLayer:
      layernorm_backward(stream, dy, x, weight.value, rows, dx, dweight);
      if (weight.trains && !weight.bias_gradient.empty()) {
        bias_gradient(stream, dy, weight.bias_gradient);
      }
      return;
  }
}

void activation_forward(const Stream& stream, const ActivationRule& rule, const TensorView& x,
                        const TensorView& y) {
  if (rule.gated && rule.kind == DecoderShape::Activation::kSilu) {
    swiglu_forward(stream, x, y);
  } else if (rule.gated) {
    geglu_forward(stream, gelu_kind(rule.kind), x, y);
  } else {
    gelu_forward(stream, gelu_kind(rule.kind), x, y);
  }
}

void activation_backward(const Stream& stream, const ActivationRule& rule, const TensorView& dy,
                         const TensorView& x, const TensorView& dx, const TensorView& y) {
  if (rule.gated && rule.kind == DecoderShape::Activation::kSilu) {
    swiglu_backward(stream, dy, x, dx, y);
    return;
  }
  if (!y.empty()) {
    activation_forward(stream, rule, x, y);
  }
  if (rule.gated) {
    geglu_backward(stream, gelu_kind(rule.kind), dy, x, dx);
  } else {
    gelu_backward(stream, gelu_kind(rule.kind), dy, x, dx);
  }
}

}  // namespace finescale
