// SPDX-License-Identifier: Apache-2.0
#include "kernels/bench/gpu_rows.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/gpu.h"
#include "core/logits_chunk.h"
#include "core/transfer.h"
#include "kernels/adamw.h"
#include "kernels/attention.h"
#include "kernels/bench/gpu_bench.h"
#include "kernels/bias.h"
#include "kernels/cached_attention.h"
#include "kernels/cross_entropy.h"
#include "kernels/embedding.h"
#include "kernels/gelu.h"
#include "kernels/gemm.h"
#include "kernels/head_norm.h"
#include "kernels/layernorm.h"
#include "kernels/packed_moments.h"
#include "kernels/quantised.h"
#include "kernels/reduce.h"
#include "kernels/rmsnorm.h"
#include "kernels/rope.h"
#include "kernels/round.h"
#include "kernels/row_gemm.h"
#include "kernels/sampling.h"
#include "kernels/swiglu.h"

namespace finescale::bench {
namespace {

// A micro-batch of a model of the Llama family; every tensor is several times the L2 cache.
// Letters: T tokens, C width, H heads, D head width, F feed-forward width, V vocabulary.
constexpr std::int64_t kT = 16384;
constexpr std::int64_t kC = 4096;
constexpr std::int64_t kH = 32;
constexpr std::int64_t kKvHeads = 8;
constexpr std::int64_t kD = 128;
constexpr std::int64_t kF = 14336;
constexpr std::int64_t kV = 32000;
constexpr std::int64_t kSegment = 2048;
constexpr std::int64_t kUpdated = std::int64_t{1} << 26;

void norms(GpuBench& bench) {
  const TensorView x = bench.tensor({kT, kC});
  const TensorView residual = bench.tensor({kT, kC});
  const TensorView y = bench.tensor({kT, kC});
  const TensorView weight = bench.tensor({kC});
  const TensorView dweight = bench.tensor({kC});
  const TensorView statistics = bench.tensor({kT, 2});
  const TensorView rstd = bench.tensor({kT});
  bench.row("rmsnorm_forward",
            [&](const Stream& on) { rmsnorm_forward(on, x, TensorView(), weight, 1e-5, y, rstd); });
  bench.row("rmsnorm_forward + residual",
            [&](const Stream& on) { rmsnorm_forward(on, x, residual, weight, 1e-5, y, rstd); });
  bench.row("rmsnorm_backward",
            [&](const Stream& on) { rmsnorm_backward(on, y, residual, weight, rstd, x, dweight); });
  bench.row("layernorm_forward + residual", [&](const Stream& on) {
    layernorm_forward(on, x, residual, weight, dweight, 1e-5, y, statistics);
  });
  bench.row("layernorm_backward", [&](const Stream& on) {
    layernorm_backward(on, y, residual, weight, statistics, x, dweight);
  });
  const TensorView operand = bench.tensor({kT, kC}, DType::kBf16);
  bench.row("rmsnorm_forward + residual bf16", [&](const Stream& on) {
    rmsnorm_forward(on, x, residual, weight, 1e-5, operand, rstd);
  });
  bench.row("layernorm_forward + residual bf16", [&](const Stream& on) {
    layernorm_forward(on, x, residual, weight, dweight, 1e-5, operand, statistics);
  });
  bench.row("round_to_bf16", [&](const Stream& on) { round_to_bf16(on, x, operand); });
  bench.forget();
}

// As f32, and as bf16, which products with Products::kBf16 read and write.
constexpr std::array<std::pair<DType, const char*>, 2> kStored = {
    {{DType::kF32, ""}, {DType::kBf16, " bf16"}}};

void heads_and_biases(GpuBench& bench) {
  for (const auto& [dtype, suffix] : kStored) {
    const TensorView x = bench.tensor({kT, kC}, dtype);
    const TensorView y = bench.tensor({kT, kC}, dtype);
    const TensorView heads = bench.tensor({kT, kH});
    const TensorView of_head = bench.tensor({kD});
    const TensorView bias = bench.tensor({kC});
    bench.row(std::string("head_norm_forward") + suffix,
              [&](const Stream& on) { head_norm_forward(on, x, of_head, 1e-5, y, heads); });
    bench.row(std::string("head_norm_backward") + suffix,
              [&](const Stream& on) { head_norm_backward(on, y, x, of_head, heads, y, of_head); });
    bench.row(std::string("bias_add") + suffix, [&](const Stream& on) { bias_add(on, bias, y); });
    bench.row(std::string("bias_gradient") + suffix,
              [&](const Stream& on) { bias_gradient(on, y, bias); });
    bench.forget();
  }
}

void activations(GpuBench& bench) {
  for (const auto& [dtype, suffix] : kStored) {
    const TensorView gate_up = bench.tensor({kT, 2 * kF}, dtype);
    const TensorView dgate_up = bench.tensor({kT, 2 * kF}, dtype);
    const TensorView y = bench.tensor({kT, kF}, dtype);
    const TensorView dy = bench.tensor({kT, kF}, dtype);
    const auto row = [&, ending = suffix](const char* name, const auto& run) {
      bench.row(std::string(name) + ending, run);
    };
    row("swiglu_forward", [&](const Stream& on) { swiglu_forward(on, gate_up, y); });
    row("swiglu_backward",
        [&](const Stream& on) { swiglu_backward(on, dy, gate_up, dgate_up, TensorView()); });
    row("gelu_forward", [&](const Stream& on) { gelu_forward(on, Gelu::kTanh, y, dy); });
    row("gelu_backward",
        [&](const Stream& on) { gelu_backward(on, Gelu::kTanh, dy, y, dgate_up.columns(0, kF)); });
    row("geglu_forward", [&](const Stream& on) { geglu_forward(on, Gelu::kTanh, gate_up, y); });
    bench.forget();
  }
  const TensorView x = bench.tensor({kT, kF});
  const TensorView y = bench.tensor({kT, kF});
  bench.row("add_in_place", [&](const Stream& on) { add_in_place(on, x, y); });
  bench.row("fill_zero", [&](const Stream& on) { fill_zero(on, y); });
  bench.forget();
}

// A matrix [F, C] of few bits to values, and a product with it.
void few_bits(GpuBench& bench) {
  const std::int64_t blocks = kF * kC / kQuantBlock;
  const auto stored = [&](QuantFormat format) {
    QuantisedMatrix matrix{
        .format = format, .rows = kF, .cols = kC, .row_blocks = kC / kQuantBlock};
    const auto words = [](std::int64_t bytes) {
      return Shape{bytes / static_cast<std::int64_t>(sizeof(float))};
    };
    matrix.codes = bench.tensor(words(blocks * block_bytes(format))).as<std::uint8_t>();
    matrix.scale_codes = bench.tensor(words(blocks)).as<std::uint8_t>();
    matrix.scale_factors = bench.tensor({blocks / kScaleGroup}).as<float>();
    return matrix;
  };
  const QuantisedMatrix nf4 = stored(QuantFormat::kNf4);
  const QuantisedMatrix int8 = stored(QuantFormat::kInt8);
  const TensorView wide = bench.tensor({kF, kC});
  const TensorView operand = bench.tensor({kF, kC}, DType::kBf16);
  bench.row("nf4_dequantise", [&](const Stream& on) { dequantise(on, nf4, 0, 0, wide); });
  bench.row("nf4_dequantise bf16", [&](const Stream& on) { dequantise(on, nf4, 0, 0, operand); });
  bench.row("int8_dequantise bf16", [&](const Stream& on) { dequantise(on, int8, 0, 0, operand); });
  const TensorView x = bench.tensor({kT, kC}, DType::kBf16);
  const TensorView y = bench.tensor({kT, kF}, DType::kBf16);
  bench.row("nf4_gemm bf16", [&](const Stream& on) {
    quantised_gemm(on.with_products(Products::kBf16), Transpose::kYes, x, nf4, 0, y);
  });
  bench.forget();
}

// As in text the n-th token has about 1 / n of the commonest one's share, which is 7%.
std::vector<std::int32_t> zipf_tokens() {
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(kT));
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    const auto rank = static_cast<double>(t * 7919 % tokens.size());  // every one: 7919 is odd
    const double share = (rank + 0.5) / static_cast<double>(kT);
    tokens[t] = static_cast<std::int32_t>(std::pow(static_cast<double>(kV), share)) - 1;
  }
  return tokens;
}

// Counted are each row of dy once, and each row of the table that gets something there and back.
void embedding_gradients(GpuBench& bench, const TensorView& rows, const TensorView& table,
                         const std::vector<std::int32_t>& repeated) {
  std::vector<std::int32_t> different(static_cast<std::size_t>(kT));
  for (std::size_t t = 0; t < different.size(); ++t) {
    different[t] = static_cast<std::int32_t>(t * 7919 % static_cast<std::size_t>(kV));
  }
  for (const auto& [name, tokens] : {std::pair{"embedding_backward", repeated},
                                     {"embedding_backward by Zipf", zipf_tokens()},
                                     {"embedding_backward all different", different}}) {
    std::vector<std::int32_t> distinct = tokens;
    std::sort(distinct.begin(), distinct.end());
    const auto num_distinct = std::unique(distinct.begin(), distinct.end()) - distinct.begin();
    const TensorView on_tokens = bench.ids(tokens);
    bench.row(
        name, [&](const Stream& on) { embedding_backward(on, on_tokens, rows, table); },
        static_cast<double>(kT + 2 * num_distinct) * kC * sizeof(float));
  }
}

void tokens(GpuBench& bench) {
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(kT));
  std::vector<std::int32_t> positions(tokens.size());
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    tokens[t] = static_cast<std::int32_t>(t * t % static_cast<std::size_t>(kV));
    positions[t] = static_cast<std::int32_t>(t % static_cast<std::size_t>(kSegment));
  }
  const TensorView on_tokens = bench.ids(tokens);
  const TensorView on_positions = bench.ids(positions);
  const TensorView table = bench.tensor({kV, kC});
  const TensorView narrow_table = bench.tensor({kV, kC}, DType::kBf16);
  const TensorView rows = bench.tensor({kT, kC});
  bench.row("embedding_forward",
            [&](const Stream& on) { embedding_forward(on, on_tokens, table, rows); });
  bench.row("embedding_forward bf16 table",
            [&](const Stream& on) { embedding_forward(on, on_tokens, narrow_table, rows); });
  embedding_gradients(bench, rows, table, tokens);
  const TensorView angles = bench.tensor({2 * kSegment, kD / 2});
  const TensorView narrow = bench.tensor({kT, kC}, DType::kBf16);
  for (const auto& [x, name] : {std::pair{rows, "rope"}, {narrow, "rope bf16"}}) {
    bench.row(name, [&, turned = x](const Stream& on) {
      rope_apply(on, turned, kD, on_positions, angles.row_range(0, kSegment),
                 angles.row_range(kSegment, 2 * kSegment), false);
    });
  }
  bench.forget();
}

// Vocabularies of Llama 2, GPT-2 and Llama 3, up to 1 GiB of logits. The gradient in place, as f32
// and as bf16, in one and of a part of a vocabulary.
void losses(GpuBench& bench) {
  for (const std::int64_t vocabulary : {kV, std::int64_t{50257}, std::int64_t{128256}}) {
    const std::int64_t rows = (std::int64_t{1} << 28) / vocabulary / 512 * 512;
    const TensorView logits =
        bench.tensor({rows, logits_stride(vocabulary, sizeof(float), true)}).columns(0, vocabulary);
    const TensorView statistics = bench.tensor({rows, 3});
    const TensorView token_losses = bench.tensor({rows});
    std::vector<std::int32_t> ids(static_cast<std::size_t>(rows));
    for (std::size_t r = 0; r < ids.size(); ++r) {
      ids[r] = static_cast<std::int32_t>(r * r % static_cast<std::size_t>(vocabulary));
    }
    const TensorView labels = bench.ids(ids);
    const std::string at = " " + std::to_string(vocabulary);
    bench.row("cross_entropy_statistics" + at, [&](const Stream& on) {
      cross_entropy_statistics(on, logits, labels, statistics, true);
    });
    for (const auto& [products, suffix] :
         {std::pair{Products::kF32, ""}, {Products::kBf16, " bf16"}}) {
      const TensorView gradient =
          gradient_of_logits(bench.stream().with_products(products), logits);
      bench.row("cross_entropy_in_place" + at + suffix, [&](const Stream& on) {
        cross_entropy_in_place(on, logits, labels, TensorView(), 1, token_losses, gradient);
      });
      bench.row("cross_entropy_finish" + at + suffix, [&](const Stream& on) {
        cross_entropy_finish(on, logits, labels, TensorView(), 1, statistics, statistics,
                             token_losses, gradient);
      });
    }
    bench.forget();
  }
}

void updates(GpuBench& bench) {
  const TensorView weight = bench.tensor({kUpdated});
  const TensorView gradient = bench.tensor({kUpdated});
  const TensorView m = bench.tensor({kUpdated});
  const TensorView v = bench.tensor({kUpdated});
  fill_zero(bench.stream(), v);
  AdamwStep step;
  step.learning_rate = 1e-6;
  const StepFactors<float> factors = rounded_to<float>(step_factors(step));
  const TensorView placed = bench.tensor({sizeof factors / sizeof(float)});
  copy_to_device(bench.stream(), &factors, placed.data, sizeof factors);
  step.factors = placed.data;
  bench.row("adamw_update",
            [&](const Stream& on) { adamw_update(on, step, weight, gradient, m, v); });
  const TensorView scales = bench.tensor({2, kUpdated / kMomentBlock});
  PackedMoments packed;
  packed.m = m.data;
  packed.v = v.data;
  bench.row("adamw_update_packed bf16",
            [&](const Stream& on) { adamw_update_packed(on, step, weight, gradient, packed); });
  fill_zero(bench.stream(), m);
  fill_zero(bench.stream(), v);
  fill_zero(bench.stream(), scales);
  packed.code = MomentCode::kInt8;
  packed.m_scales = scales.as<float>();
  packed.v_scales = scales.as<float>() + kUpdated / kMomentBlock;
  bench.row("adamw_update_packed int8",
            [&](const Stream& on) { adamw_update_packed(on, step, weight, gradient, packed); });
  bench.row("squared_norm", [&](const Stream& on) { (void)squared_norm(on, gradient); });
  bench.forget();
}

// bf16: as steps store operands, with weights that are rounded for the whole step.
void products(GpuBench& bench) {
  for (const bool rounded : {false, true}) {
    const std::string suffix = rounded ? " bf16" : " f32";
    const auto on_products = [rounded](const Stream& on) {
      return on.with_products(rounded ? Products::kBf16 : Products::kF32);
    };
    const DType operand = operand_dtype(on_products(bench.stream()), DType::kF32);
    for (const auto& [rows, cols] : {std::pair{2 * kF, kC}, {kC, kF}, {kC, kC}}) {
      const TensorView x = bench.tensor({kT, cols}, operand);
      const TensorView w = bench.tensor({rows, cols}, operand);
      const TensorView dw = bench.tensor({rows, cols});
      const TensorView y = bench.tensor({kT, rows}, operand);
      const std::string at =
          " " + std::to_string(kT) + "x" + std::to_string(rows) + "x" + std::to_string(cols);
      const auto name = [&](std::string text) {
        text += suffix;
        text += at;
        return text;
      };
      bench.row(name("gemm"), [&](const Stream& on) {
        gemm(on_products(on), Transpose::kNo, Transpose::kYes, 1, x, w, 0, y);
      });
      bench.row(name("gemm_dx"), [&](const Stream& on) {
        gemm(on_products(on), Transpose::kNo, Transpose::kNo, 1, y, w, 0, x);
      });
      bench.row(name("gemm_dw"), [&](const Stream& on) {
        gemm(on_products(on), Transpose::kYes, Transpose::kNo, 1, y, x, 1, dw);
      });
      bench.forget();
    }
    const TensorView qkv = bench.tensor({kT, (kH + 2 * kKvHeads) * kD}, operand);
    const TensorView out = bench.tensor({kT, kH * kD}, operand);
    const TensorView dout = bench.tensor({kT, kH * kD}, operand);
    const TensorView dqkv = bench.tensor({kT, (kH + 2 * kKvHeads) * kD}, operand);
    const TensorView lse = bench.tensor({kT, kH});
    std::vector<std::int32_t> segments;
    for (std::int64_t t = 0; t <= kT; t += kSegment) {
      segments.push_back(static_cast<std::int32_t>(t));
    }
    const TensorView on_device = bench.ids(segments);
    const AttentionShape shape{static_cast<int>(kH), static_cast<int>(kKvHeads),
                               static_cast<int>(kD), 1 / std::sqrt(static_cast<double>(kD)), 0};
    const auto part = [](const TensorView& all, std::int64_t head, std::int64_t count) {
      return all.columns(head * kD, (head + count) * kD);
    };
    bench.row("attention_forward" + suffix, [&](const Stream& on) {
      attention_forward(on_products(on), shape, part(qkv, 0, kH), part(qkv, kH, kKvHeads),
                        part(qkv, kH + kKvHeads, kKvHeads), segments, out, lse, on_device);
    });
    bench.row("attention_backward" + suffix, [&](const Stream& on) {
      attention_backward(on_products(on), shape, dout, part(qkv, 0, kH), part(qkv, kH, kKvHeads),
                         part(qkv, kH + kKvHeads, kKvHeads), out, lse, segments, part(dqkv, 0, kH),
                         part(dqkv, kH, kKvHeads), part(dqkv, kH + kKvHeads, kKvHeads), on_device);
    });
    bench.forget();
  }
}

// Sequences that answer, kSegment / 2 positions each: one token of each is a pass.
void cached(GpuBench& bench, std::int64_t sequences) {
  const AttentionShape shape{static_cast<int>(kH), static_cast<int>(kKvHeads), static_cast<int>(kD),
                             1 / std::sqrt(static_cast<double>(kD)), 0};
  constexpr std::int64_t kPages = kSegment / 2 / kCachePage;
  const TensorView pages = bench.tensor({sequences * kPages, cache_page_elements(shape)});
  std::vector<void*> table;
  for (std::int64_t page = 0; page < pages.rows(); ++page) {
    table.push_back(pages.row_range(page, page + 1).data);
  }
  const TensorView on_table = bench.words(table.data(), table.size() * sizeof(void*));
  std::vector<CachedToken> tokens;
  for (std::int64_t s = 0; s < sequences; ++s) {
    tokens.push_back(
        {on_table.as<void*>() + s * kPages, static_cast<std::int32_t>(kPages * kCachePage - 1)});
  }
  const TensorView places = bench.words(tokens.data(), tokens.size() * sizeof(CachedToken));
  const TensorView q = bench.tensor({sequences, kH * kD});
  const TensorView out = bench.tensor({sequences, kH * kD});
  bench.row("cached_attention " + std::to_string(sequences) + "x" + std::to_string(kSegment / 2),
            [&](const Stream& on) {
              cached_attention(on, shape, q, tokens, 0, out, places.as<CachedToken>());
            });
  bench.forget();
}

void row_products(GpuBench& bench, std::int64_t rows) {
  for (const auto& [outputs, inputs] : {std::pair{2 * kF, kC}, {kC, kF}, {kC, kC}}) {
    const TensorView x = bench.tensor({rows, inputs});
    const TensorView y = bench.tensor({rows, outputs});
    const std::string size =
        std::to_string(rows) + "x" + std::to_string(outputs) + "x" + std::to_string(inputs);
    for (const auto& [dtype, name] :
         {std::pair{DType::kF32, "row_gemm "}, {DType::kBf16, "row_gemm bf16 W "}}) {
      const TensorView w = bench.tensor({outputs, inputs}, dtype);
      bench.row(name + size, [&](const Stream& on) { row_gemm(on, 1, x, w, 0, y); });
    }
    bench.forget();
  }
}

void generation(GpuBench& bench) {
  for (const std::int64_t rows : {1, 16, 64}) {
    row_products(bench, rows);
    cached(bench, rows);
    const TensorView logits = bench.tensor({rows, kV});
    const TensorView tokens = bench.ids(std::vector<std::int32_t>(static_cast<std::size_t>(rows)));
    const std::vector<double> half(static_cast<std::size_t>(rows), 0.5);
    const TensorView words = bench.words(half.data(), half.size() * sizeof(double));
    const TensorView uniforms(words.data, DType::kF64, Shape{rows});
    bench.row("sample_rows " + std::to_string(rows) + "x" + std::to_string(kV),
              [&](const Stream& on) {
                sample_rows(on, {.temperature = 0.8, .top_k = 50, .top_p = 0.9}, logits, {},
                            uniforms, tokens);
              });
    bench.forget();
  }
}

}  // namespace

int run_gpu_rows(int argc, char** argv) {
  const std::string_view filter = argc > 2 ? argv[2] : "";
  if (filter == "--help" || filter == "-h") {
    std::puts(
        "finescale-bench gpu [NAME]: CUDA kernels on large tensors\n"
        "  NAME   only rows whose name has it in it\n"
        "GB/s: every input read once and every output written once; %: of what a copy on this GPU\n"
        "moves (both sides counted), measured first");
    return 0;
  }
  Gpu gpu(0, 0);
  GpuBench bench(gpu, filter);
  std::printf("%s, copy %.0f GB/s\n", gpu.info().name.c_str(), bench.measure_copy(kT * kC) / 1e9);
  norms(bench);
  heads_and_biases(bench);
  activations(bench);
  few_bits(bench);
  tokens(bench);
  losses(bench);
  updates(bench);
  products(bench);
  generation(bench);
  const GpuGraphs graphs = gpu.graphs();
  std::printf("%.1f%% of %lld operations in CUDA graphs\n",
              100 * static_cast<double>(graphs.replayed_operations) /
                  static_cast<double>(graphs.operations),
              static_cast<long long>(graphs.operations));
  return 0;
}

}  // namespace finescale::bench
