// SPDX-License-Identifier: Apache-2.0
#include "tests/cuda_emulation/measured.h"

#include <cmath>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/bias.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/embedding.h"
#include "kernels/cuda/gelu.h"
#include "kernels/cuda/head_norm.h"
#include "kernels/cuda/reduce.h"
#include "kernels/cuda/rope.h"
#include "kernels/cuda/swiglu.h"

namespace finescale::measured {

namespace {

void run_head_norm(const Side& side) {
  Array x = side.input(1, kTokens, kCols);
  Array weight = side.wide_input(2, 1, 64);
  Array y = side.output(kTokens, kCols);
  Array rstd = side.wide_output(kTokens, kCols / 64);
  Array dweight = side.wide_output(1, 64);
  cuda::head_norm_forward(side.stream, x.view(), weight.vector(), 1e-5, y.view(), rstd.view());
  cuda::head_norm_backward(side.stream, y.view(), x.view(), weight.vector(), rstd.view(), y.view(),
                           dweight.vector(), {});
}

void run_gelu(const Side& side) {
  Array x = side.input(1, kTokens, 2 * kCols);
  Array y = side.output(kTokens, kCols);
  cuda::geglu_forward(side.stream, Gelu::kTanh, x.view(), y.view());
  cuda::geglu_backward(side.stream, Gelu::kTanh, y.view(), x.view(), x.view());
}

void run_swiglu(const Side& side) {
  Array x = side.input(1, kTokens, 2 * kCols);
  Array y = side.output(kTokens, kCols);
  cuda::swiglu_forward(side.stream, x.view(), y.view());
  cuda::swiglu_backward(side.stream, y.view(), x.view(), x.view(), {});
}

void run_rope(const Side& side) {  // eight heads of 64
  Array x = side.input(1, kTokens, kCols);
  Array positions(DType::kI32, 1, kTokens);
  for (std::int64_t t = 0; t < kTokens; ++t) {
    positions.set(0, t, static_cast<double>(t));
  }
  Array cos = side.wide_input(2, kTokens, 32);
  Array sin = side.wide_input(3, kTokens, 32);
  cuda::rope_apply(side.stream, x.view(), 64, positions.vector(), cos.view(), sin.view(), false);
}

void run_embedding(const Side& side) {
  Array tokens(DType::kI32, 1, kTokens);
  for (std::int64_t t = 0; t < kTokens; ++t) {
    tokens.set(0, t, static_cast<double>(t * 5 % kTokens));  // all different
  }
  Array weight = side.input(1, kTokens, kCols);
  Array y = side.output(kTokens, kCols);
  Array order(DType::kI32, 4, kTokens);
  Array to = side.wide_output(kTokens, kCols);
  cuda::embedding_forward(side.stream, tokens.vector(), weight.view(), y.view());
  cuda::embedding_backward(side.stream, tokens.vector(), y.view(), order.view(), to.view());
}

void run_bias(const Side& side) {
  Array bias = side.wide_input(1, 1, kCols);
  Array y = side.output(kTokens, kCols);
  Array dbias = side.wide_output(1, kCols);
  cuda::bias_add(side.stream, bias.vector(), y.view());
  cuda::bias_gradient(side.stream, y.view(), dbias.vector(), {});
}

void run_norm(const Side& side) {
  Array x = side.input(1, 1, kTokens * kCols);
  Array sums(DType::kF64, 1, kTokens * kCols / kNormBlock);
  Array norm(DType::kF64, 1, 1);
  cuda::squared_norm_blocks(side.stream, x.vector(), sums.vector());
  cuda::tree_sum(side.stream, sums.vector(), {}, norm.vector());
  cuda::axpy(side.stream, 2, x.vector(), x.vector());
}

void run_attention(const Side& side, int dim) {
  constexpr std::int64_t kLength = 128;
  const AttentionShape shape{
      .num_heads = 2, .num_kv_heads = 1, .head_dim = dim, .scale = 1 / std::sqrt(dim)};
  Array q = side.input(1, kLength, 2 * dim);
  Array k = side.input(2, kLength, dim);
  Array v = side.input(3, kLength, dim);
  Array out = side.output(kLength, 2 * dim);
  Array dq = out;
  Array dk = k;
  Array dv = v;
  Array lse = side.wide_output(kLength, 2);
  Array delta = lse;
  Array segments(DType::kI32, 1, 2);
  segments.set(0, 1, kLength);
  cuda::attention_forward(side.stream, shape, q.view(), k.view(), v.view(), segments.vector(),
                          out.view(), lse.view());
  cuda::attention_backward(side.stream, shape, q.view(), q.view(), k.view(), v.view(), out.view(),
                           lse.view(), segments.vector(), delta.view(), dq.view(), dk.view(),
                           dv.view());
}

}  // namespace

std::vector<Operation> operations_of_both_types(DType dtype, const std::string& type, int pack) {
  const auto bytes = [dtype](double count) { return matrices(dtype, count); };
  const double tables = kTokens * 64 * 4;
  const double gradient = matrices(DType::kF32, 2);
  const double norms = kTokens * kCols * 8.0 / kNormBlock;
  const std::string with = "<" + type + ", " + std::to_string(pack) + ">";
  std::vector<Operation> rows = {
      {"SwiGLU",
       dtype,
       run_swiglu,
       {{"swiglu:forward_rows" + with, bytes(3)}, {"swiglu:backward_rows" + with, bytes(5)}}},
      {"gated GELU",
       dtype,
       run_gelu,
       {{"gelu:forward_rows<" + type + ", (Gelu)0, true, " + std::to_string(pack) + ">", bytes(3)},
        {"gelu:backward_rows<" + type + ", (Gelu)0, true, " + std::to_string(pack) + ">",
         bytes(5)}}},
      {"rotary positions", dtype, run_rope, {{"rope:rotate<" + type + ", 4>", bytes(2) + tables}}},
      {"norms of heads",
       dtype,
       run_head_norm,
       {{"head_norm:forward_heads<" + type + ">", 0},
        {"head_norm:weight_columns<" + type + ">", 0},
        {"head_norm:backward_heads<" + type + ">", 0}}},
      {"bias",
       dtype,
       run_bias,
       {{"bias:add_rows_of<" + type + ">", 0}, {"bias:sum_columns<" + type + ">", 0}}},
      {"embedding",
       dtype,
       run_embedding,
       {{"embedding:gather_rows<" + type + ", " + type + ", " + std::to_string(pack) + ">",
         bytes(2)},
        {"embedding:sort_tiles", 0},
        {"embedding:add_runs<" + type + ", float, 4>", bytes(1) + gradient}}},
      {"norm",
       dtype,
       run_norm,
       {{"reduce:square_blocks<" + type + ", 4>", bytes(1) + norms},
        {"reduce:sum_level", 0},
        {"reduce:add_scaled" + with, bytes(3)}}}};
  for (const int dim : {64, 128, 256}) {
    const std::string wide = "<" + type + ", " + std::to_string(dim) + ">";
    const std::string narrow = "<" + std::to_string(dim) + ">";
    const bool is_mma = dtype == DType::kBf16 && dim <= 128;
    rows.push_back(
        {"attention, heads of " + std::to_string(dim),
         dtype,
         [dim](const Side& side) { run_attention(side, dim); },
         {{is_mma ? "attention_mma:forward_mma" + narrow : "attention_forward:forward_tiles" + wide,
           0},
          {"attention_backward:find_delta<" + type + ">", 0},
          {is_mma ? "attention_backward_mma:query_gradients_mma" + narrow
                  : "attention_backward:query_gradients" + wide,
           0},
          {is_mma ? "attention_backward_mma:key_gradients_mma" + narrow
                  : "attention_backward:key_gradients" + wide,
           0}}});
  }
  return rows;
}

}  // namespace finescale::measured
