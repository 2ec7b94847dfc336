// SPDX-License-Identifier: Apache-2.0
#include "tests/cuda_emulation/measured.h"

#include "kernels/cuda/adamw.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/cached_attention.h"
#include "kernels/cuda/cross_entropy.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/embedding.h"
#include "kernels/cuda/layernorm.h"
#include "kernels/cuda/packed_moments.h"
#include "kernels/cuda/partial_sums.h"
#include "kernels/cuda/quantised.h"
#include "kernels/cuda/rmsnorm.h"
#include "kernels/cuda/rounding.h"
#include "kernels/cuda/row_gemm.h"
#include "tests/kernels/stored_matrix.h"

namespace finescale::measured {

// All memory that kernels see is the device's: elsewhere it would lie on sectors by chance.
namespace {

void run_norms(const Side& side) {
  Array x = side.input(1, kTokens, kCols);
  Array weight = side.input(2, 1, kCols);
  Array bias = side.input(3, 1, kCols);
  Array y = side.output(kTokens, kCols);
  Array dx = side.output(kTokens, kCols);
  Array dweight = side.output(1, kCols);
  Array statistics = side.output(kTokens, 2);
  cuda::rmsnorm_forward(side.stream, x.view(), {}, weight.vector(), 1e-5, y.view(),
                        statistics.vector());
  Array partials = side.output(cuda::norm_partials(kTokens), kCols);
  cuda::rmsnorm_backward(side.stream, y.view(), x.view(), weight.vector(), statistics.vector(),
                         dx.view(), dweight.vector(), partials.view());
  cuda::layernorm_forward(side.stream, x.view(), {}, weight.vector(), bias.vector(), 1e-5, y.view(),
                          statistics.view());
  cuda::layernorm_backward(side.stream, y.view(), x.view(), weight.vector(), statistics.view(),
                           dx.view(), dweight.vector(), partials.view());
}

void run_norms_of_operands(const Side& side) {
  Array x = side.wide_input(1, kTokens, kCols);
  Array weight = side.wide_input(2, 1, kCols);
  Array bias = side.wide_input(3, 1, kCols);
  Array y = side.output(kTokens, kCols);
  Array statistics = side.wide_output(kTokens, 2);
  cuda::rmsnorm_forward(side.stream, x.view(), {}, weight.vector(), 1e-5, y.view(),
                        statistics.vector());
  cuda::layernorm_forward(side.stream, x.view(), {}, weight.vector(), bias.vector(), 1e-5, y.view(),
                          statistics.view());
}

// Of 16 tiles.
void run_sort_of_tokens(const Side& side) {
  constexpr std::int64_t kSorted = 4096;
  Array tokens(DType::kI32, 1, kSorted);
  for (std::int64_t t = 0; t < kSorted; ++t) {
    tokens.set(0, t, static_cast<double>(t * 1237 % kSorted));
  }
  Array dy = side.input(1, kSorted, 16);
  Array to = side.wide_output(kSorted, 16);
  Array order(DType::kI32, 4, kSorted);
  cuda::embedding_backward(side.stream, tokens.vector(), dy.view(), order.view(), to.view());
}

void run_embedding_of_bf16(const Side& side) {
  Array tokens(DType::kI32, 1, kTokens);
  for (std::int64_t t = 0; t < kTokens; ++t) {
    tokens.set(0, t, static_cast<double>(t));
  }
  Array weight = side.bf16_input(1, kTokens, kCols);
  Array y = side.output(kTokens, kCols);
  cuda::embedding_forward(side.stream, tokens.vector(), weight.view(), y.view());
}

void run_rounding(const Side& side) {
  Array x = side.wide_input(1, kTokens, kCols);
  Array y = side.output(kTokens, kCols);
  cuda::round_to_bf16(side.stream, x.view(), y.view());
}

void run_dequantise(const Side& side, QuantFormat format) {
  Array values = Side(DeviceType::kCpu, DType::kF64).input(1, kTokens, kCols);
  const StoredMatrix<DeviceAllocator> stored(format, values.view(), true);
  Array out = side.output(kTokens, kCols);
  cuda::dequantise(side.stream, stored.matrix, 0, 0, out.view());
}

void run_nf4(const Side& side) {
  run_dequantise(side, QuantFormat::kNf4);
}

void run_int8(const Side& side) {
  run_dequantise(side, QuantFormat::kInt8);
}

void run_int3(const Side& side) {
  run_dequantise(side, QuantFormat::kInt3);
}

void run_adamw(const Side& side) {
  Array w = side.input(1, 1, kTokens * kCols);
  Array g = side.input(2, 1, kTokens * kCols);
  Array m = side.output(1, kTokens * kCols);
  Array v = side.output(1, kTokens * kCols);
  AdamwStep step{.learning_rate = 0.1};
  const PlacedFactors placed(side.compute(), step);
  step.factors = placed.data();
  cuda::adamw_update(side.stream, step, w.vector(), g.vector(), m.vector(), v.vector());
}

void run_packed_adamw(const Side& side, MomentCode code) {
  Array w = side.input(1, 1, kTokens * kCols);
  Array g = side.input(2, 1, kTokens * kCols);
  Array m(DType::kBf16, 1, kTokens * kCols);  // of one byte: the first half
  Array v(DType::kBf16, 1, kTokens * kCols);
  Array scales(DType::kF32, 2, kTokens * kCols / kMomentBlock);
  AdamwStep step{.learning_rate = 0.1};
  const PlacedFactors placed(side.compute(), step);
  step.factors = placed.data();
  cuda::adamw_update_packed(side.stream, step, w.vector(), g.vector(),
                            {.code = code,
                             .m = m.view().data,
                             .v = v.view().data,
                             .m_scales = scales.view().as<float>(),
                             .v_scales = scales.view().as<float>() + scales.cols()});
}

void run_logits(const Side& side) {
  Array logits = side.input(1, 4, 8 * kCols);
  Array losses = side.wide_output(1, 4);
  Array labels(DType::kI32, 1, 4);
  cuda::argmax_rows(side.stream, logits.view(), labels.vector());
  if (side.storage() == DType::kF32) {
    cuda::cross_entropy_in_place(side.stream, logits.view(), labels.vector(), {}, 1,
                                 losses.vector(), logits.view());
  }
}

// Of one row that is wider than what stays on chip between the two sweeps: 14 steps of 1,024
// threads on the emulated GPU. The rest is read twice.
constexpr std::int64_t kVocabulary = 61440;
constexpr std::int64_t kOnChip = 57344;

void run_wide_logits(const Side& side, DType gradient_type) {
  Array logits = side.wide_input(1, 1, kVocabulary);
  Array losses = side.wide_output(1, 1);
  Array labels(DType::kI32, 1, 1);
  TensorView gradient = logits.view();
  gradient.dtype = gradient_type;
  cuda::cross_entropy_in_place(side.stream, logits.view(), labels.vector(), {}, 1, losses.vector(),
                               gradient);
}

constexpr std::int64_t kPart = 12288;

void run_part_of_logits(const Side& side, DType gradient_type) {
  Array logits = side.wide_input(1, 1, kPart);
  Array losses = side.wide_output(1, 1);
  Array statistics = side.wide_output(1, 3);
  Array labels(DType::kI32, 1, 1);
  TensorView gradient = logits.view();
  gradient.dtype = gradient_type;
  cuda::cross_entropy_statistics(side.stream, logits.view(), labels.vector(), statistics.view(),
                                 true);
  cuda::cross_entropy_finish(side.stream, logits.view(), labels.vector(), {}, 1, {},
                             statistics.view(), losses.vector(), gradient);
}

constexpr std::int64_t kOutputs = 128;

// One row shares the cuts of K, more go through them in one block.
void run_row_gemm(const Side& side, std::int64_t rows, DType weights) {
  Array x = side.input(1, rows, kCols);
  Array w = weights == DType::kBf16 ? side.bf16_input(2, kOutputs, kCols)
                                    : side.input(2, kOutputs, kCols);
  Array y = side.output(rows, kOutputs);
  Array partials = side.output(cuda::row_gemm_cuts(kCols).count, rows * kOutputs);
  cuda::row_gemm(side.stream, 1, x.view(), w.view(), 0, y.view(),
                 rows == 1 ? partials.view() : TensorView());
}
// Of W once, x once for every 64 columns, and what is written.
double row_gemm_bytes(std::int64_t rows, DType weights) {
  const double written = (rows == 1 ? 2.0 : 1.0) * kOutputs * static_cast<double>(rows);
  const double read = kOutputs / 64 * static_cast<double>(rows) * kCols;
  return 4 * (read + written) + static_cast<double>(dtype_size(weights)) * kOutputs * kCols;
}

// Of f32 with W in `weights`, in tiles of template arguments `tile`.
Operation products_of(std::int64_t rows, DType weights, const std::string& tile) {
  const std::string type = weights == DType::kBf16 ? "Bf16" : "float";
  Operation row{"products, M = " + std::to_string(rows) + ", W in " + dtype_name(weights),
                DType::kF32,
                [rows, weights](const Side& side) { run_row_gemm(side, rows, weights); },
                {{"row_gemm:multiply_tiles<float, " + type + ", " + tile + ">",
                  row_gemm_bytes(rows, weights)}}};
  if (rows == 1) {
    row.launches.push_back({"row_gemm:add_cuts<float, 4>", 3.0 * kOutputs * 4});
  }
  return row;
}

// The last 32 tokens of a sequence of 320 positions, its four heads in pairs.
void run_cached_attention(const Side& side) {
  constexpr std::int64_t kLength = 320;
  const AttentionShape shape{.num_heads = 4, .num_kv_heads = 2, .head_dim = 64, .scale = 0.125};
  std::vector<Array> memory;
  std::vector<void*, DeviceAllocator<void*>> pages;
  for (std::int64_t p = 0; p < kLength / kCachePage; ++p) {
    memory.push_back(side.input(static_cast<std::uint64_t>(p), 1, cache_page_elements(shape)));
  }
  for (Array& page : memory) {
    pages.push_back(page.view().data);
  }
  std::vector<CachedToken, DeviceAllocator<CachedToken>> tokens;
  for (std::int64_t t = 0; t < kTokens; ++t) {
    tokens.push_back({pages.data(), static_cast<std::int32_t>(kLength - kTokens + t)});
  }
  Array q = side.input(1, kTokens, 4 * 64);
  Array kv = side.input(2, kTokens, 4 * 64);
  Array out = side.output(kTokens, 4 * 64);
  Array scratch = side.output(1, cuda::attention_scratch(shape, kTokens, kLength));
  cuda::cache_store(side.stream, shape, kv.view().columns(0, 128), kv.view().columns(128, 256),
                    tokens.data(), 0);
  cuda::cached_attention(side.stream, shape, q.view(), tokens.data(), kLength, 0, out.view(),
                         scratch.vector());
}

void run_sampling(const Side& side) {
  Array logits = side.input(1, 1, 4 * kCols, 0, 3);
  Array uniforms(DType::kF64, 1, 1);
  Array tokens(DType::kI32, 1, 1);
  uniforms.set(0, 0, 0.9);
  cuda::sample_rows(side.stream, {.temperature = 0.8, .top_k = 50, .top_p = 0.9, .min_p = 0.01},
                    logits.view(), {}, uniforms.vector(), tokens.vector());
}

}  // namespace

std::vector<Operation> operations_of_one_type() {
  const auto bytes = [](double count) { return matrices(DType::kF32, count); };
  const DType f32 = DType::kF32;
  return {
      {"norms",
       f32,
       run_norms,
       {{"rmsnorm:forward_rows<float>", 0},
        {"rmsnorm:backward_both<256, 4>", 0},
        {"rmsnorm:add_partial_sums<float>", 0},
        {"layernorm:forward_rows<float>", 0},
        {"layernorm:backward_both<256, 4>", 0},
        {"layernorm:add_partial_sums<float>", 0}}},
      {"norms into operands",
       DType::kBf16,
       run_norms_of_operands,
       {{"rmsnorm:forward_rows<Bf16>", 0}, {"layernorm:forward_rows<Bf16>", 0}}},
      {"AdamW",
       f32,
       run_adamw,
       {{"adamw:update_elements<float, 4, 2, AdamwRule<float> >", bytes(7)}}},
      {"AdamW, bf16 moments",
       f32,
       [](const Side& side) { run_packed_adamw(side, MomentCode::kBf16); },
       {{"packed_moments:update_bf16<float, 4>", bytes(5)}}},
      {"AdamW, moments of one byte",
       f32,
       [](const Side& side) { run_packed_adamw(side, MomentCode::kInt8); },
       {{"packed_moments:update_bytes<4, float>", bytes(4 + 4.0 / kMomentBlock)}}},
      {"embedding of bf16 as f32",
       f32,
       run_embedding_of_bf16,
       {{"embedding:gather_rows<Bf16, float, 4>", bytes(1.5)}}},
      // Each lane looks for the place of its own token, and writes there: 4 T bytes, which the
      // caches have.
      {"sort of tokens",
       f32,
       run_sort_of_tokens,
       {{"embedding:sort_tiles", 0, 4.5},
        {"embedding:merge_runs", 0, 2.2},
        {"embedding:add_runs<float, float, 4>", 0}}},
      {"rounding",
       DType::kBf16,
       run_rounding,
       {{"rounding:round_rows<4>", matrices(DType::kF32, 1) + matrices(DType::kBf16, 1)}}},
      // A sector has the scales of 32 blocks, so that several warps read it, from the caches.
      {"nf4 to values", DType::kBf16, run_nf4, {{"quantised:expand_codes<4, Bf16, 4>", 0}}},
      {"nf4 to values", f32, run_nf4, {{"quantised:expand_codes<4, float, 4>", 0}}},
      {"int8 to values", DType::kBf16, run_int8, {{"quantised:expand_codes<8, Bf16, 4>", 0}}},
      // Blocks of 24 bytes do not lie on sectors.
      {"int3 to values", DType::kBf16, run_int3, {{"quantised:expand_codes<3, Bf16, 4>", 0, 1.2}}},
      {"logits",
       f32,
       run_logits,
       {{"reduce:find_largest<float>", 0},
        {"cross_entropy:softmax_loss<SoftmaxRow<float, 256, 4>, float, float>",
         2.0 * 4 * 8 * kCols * 4}}},
      {"logits", DType::kBf16, run_logits, {{"reduce:find_largest<Bf16>", 0}}},
      {"wide logits",
       f32,
       [](const Side& side) { run_wide_logits(side, DType::kF32); },
       {{"cross_entropy:softmax_loss<SoftmaxRow<float, 1024, 4>, float, float>",
         4.0 * (2 * kVocabulary - kOnChip) + 4.0 * kVocabulary}}},
      {"wide logits, gradient of bf16",
       DType::kBf16,
       [](const Side& side) { run_wide_logits(side, DType::kBf16); },
       {{"cross_entropy:softmax_loss<SoftmaxRow<float, 1024, 4>, Bf16, float>",
         4.0 * (2 * kVocabulary - kOnChip) + 2.0 * kVocabulary}}},
      {"part of logits",
       f32,
       [](const Side& side) { run_part_of_logits(side, DType::kF32); },
       {{"cross_entropy_part:part_statistics<SoftmaxRow<float, 1024, 4>, float>", 4.0 * kPart},
        {"cross_entropy_part:part_gradient<SoftmaxRow<float, 1024, 4>, float, float>",
         8.0 * kPart}}},
      {"part of logits, gradient of bf16",
       DType::kBf16,
       [](const Side& side) { run_part_of_logits(side, DType::kBf16); },
       {{"cross_entropy_part:part_statistics<SoftmaxRow<float, 1024, 4>, float>", 4.0 * kPart},
        {"cross_entropy_part:part_gradient<SoftmaxRow<float, 1024, 4>, Bf16, float>",
         6.0 * kPart}}},
      products_of(1, f32, "4, 4, 1, 4"),
      products_of(16, f32, "16, 4, 2, 3"),
      products_of(32, f32, "32, 4, 4, 3"),
      products_of(64, f32, "64, 8, 4, 2"),
      products_of(1, DType::kBf16, "2, 2, 1, 8"),
      products_of(4, DType::kBf16, "4, 4, 1, 8"),
      products_of(8, DType::kBf16, "8, 4, 2, 6"),
      products_of(16, DType::kBf16, "16, 4, 2, 6"),
      products_of(32, DType::kBf16, "32, 4, 4, 4"),
      products_of(64, DType::kBf16, "64, 8, 4, 3"),
      {"attention to pages",
       f32,
       run_cached_attention,
       {{"cached_attention:store_tokens", 0},
        {"cached_attention:attend_pages<2, 4, 1>", 0},
        {"cached_attention:combine_splits", 0}}},
      {"sampling", f32, run_sampling, {{"sampling:choose_tokens<float>", 0}}}};
}

}  // namespace finescale::measured
