// SPDX-License-Identifier: Apache-2.0
// Every kernel at the shapes of the presets, against the roofline of this machine,
// threads and instruction set, measured in the same process.
#include "kernels/bench/kernel_rows.h"

#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "core/device.h"
#include "core/error.h"
#include "core/parallel.h"
#include "core/random.h"
#include "kernels/adamw.h"
#include "kernels/attention.h"
#include "kernels/bench/library_gemm.h"
#include "kernels/bench/roofline.h"
#include "kernels/bias.h"
#include "kernels/cached_attention.h"
#include "kernels/cross_entropy.h"
#include "kernels/embedding.h"
#include "kernels/entries.h"
#include "kernels/gelu.h"
#include "kernels/gemm.h"
#include "kernels/head_norm.h"
#include "kernels/layernorm.h"
#include "kernels/packed_moments.h"
#include "kernels/quantised.h"
#include "kernels/reduce.h"
#include "kernels/rmsnorm.h"
#include "kernels/rope.h"
#include "kernels/row_gemm.h"
#include "kernels/scaled_matrix.h"
#include "kernels/swiglu.h"

namespace finescale::bench {
namespace {

// Shapes of configs/presets; T as a micro-batch of training has it. Letters: T tokens, C width, H
// heads, F feed-forward width, V vocabulary.
struct Model {
  const char* name;
  std::int64_t T, C, H, F, V;
};
constexpr Model kModels[] = {{"tiny", 2048, 64, 4, 192, 512},
                             {"small", 2048, 128, 4, 384, 2048},
                             {"medium", 1024, 256, 8, 768, 8192}};
constexpr Model kSmolLm2 = {"smollm2-135m", 1024, 576, 9, 1536, 49152};
constexpr std::int64_t kSegment = 64;  // tokens of an example, about the mean of real text

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

void add(const std::string& name, const Work& work, std::function<void()> run) {
  benchmark::RegisterBenchmark(
      name.c_str(),
      [work, run = std::move(run)](benchmark::State& state) {
        run();  // touches all memory once
        for (auto _ : state) {
          run();
        }
        const auto rate = [&](double amount) {
          return benchmark::Counter(amount, benchmark::Counter::kIsIterationInvariantRate);
        };
        state.counters["FLOP/s"] = rate(work.flops);
        state.counters["B/s"] = rate(work.bytes);
        const double least =
            std::max(work.flops / peak_flops(),
                     work.bytes / bandwidth(static_cast<std::size_t>(
                                      work.footprint > 0 ? work.footprint : work.bytes)));
        state.counters["roofline_%"] = rate(100 * least);
      })
      ->UseRealTime()
      ->MinTime(0.1)
      ->Unit(benchmark::kMicrosecond);
}

double size(std::int64_t elements) {
  return 4.0 * static_cast<double>(elements);
}

double d(std::int64_t value) {
  return static_cast<double>(value);
}

template <class... Arrays>
std::shared_ptr<std::vector<Array>> arrays(Arrays... shapes) {
  auto all = std::make_shared<std::vector<Array>>();
  (all->emplace_back(shapes), ...);
  return all;
}

// Ours, of operands rounded to bf16 too (bf16_gemm_...), and the library's (sgemm_...).
void add_gemm(const Model& m, const char* what, Transpose ta, Transpose tb, std::int64_t rows,
              std::int64_t cols, std::int64_t inner) {
  auto a =
      arrays(ta == Transpose::kNo ? Shape{rows, inner} : Shape{inner, rows},
             tb == Transpose::kNo ? Shape{inner, cols} : Shape{cols, inner}, Shape{rows, cols});
  const Work work = {2.0 * d(rows) * d(cols) * d(inner),
                     size(rows * inner + inner * cols + rows * cols)};
  const std::string at = std::string("gemm_") + what + "/" + m.name;
  add(at, work,
      [=] { gemm(Stream(), ta, tb, 1, (*a)[0].view(), (*a)[1].view(), 0, (*a)[2].view()); });
  add("bf16_" + at, work, [=] {
    gemm(Stream().with_products(Products::kBf16), ta, tb, 1, (*a)[0].view(), (*a)[1].view(), 0,
         (*a)[2].view());
  });
  add("s" + at, work,
      [=] { library_gemm(ta, tb, (*a)[0].view(), (*a)[1].view(), (*a)[2].view()); });
}

// The same products with W [N, K] in 4 bits, and W itself made whole.
void add_quantised(const Model& m, const char* what, Transpose transpose, std::int64_t rows,
                   std::int64_t cols) {
  struct Stored {
    QuantisedBlocks blocks;
    QuantisedScales scales;
    QuantisedMatrix matrix;
  };
  auto w = std::make_shared<Stored>();
  auto a = arrays(Shape{rows, cols}, Shape{m.T, transpose == Transpose::kYes ? cols : rows},
                  Shape{m.T, transpose == Transpose::kYes ? rows : cols});
  w->blocks = quantise(QuantFormat::kNf4, (*a)[0].view());
  w->scales = quantise_scales(w->blocks.scales);
  w->matrix = {.format = QuantFormat::kNf4,
               .rows = rows,
               .cols = cols,
               .codes = w->blocks.codes.data(),
               .scale_codes = w->scales.codes.data(),
               .scale_factors = w->scales.factors.data(),
               .scale_mean = w->scales.mean,
               .row_blocks = cols / kQuantBlock};
  const double stored = d(rows * cols) / 2;
  const std::string at = std::string(what) + "/" + m.name;
  add("nf4_gemm_" + at, {2.0 * d(m.T) * d(rows) * d(cols), size(m.T * (rows + cols)) + stored},
      [=] { quantised_gemm(Stream(), transpose, (*a)[1].view(), w->matrix, 0, (*a)[2].view()); });
  add("nf4_dequantise_" + at, {d(rows * cols), size(rows * cols) + stored},
      [=] { dequantise(Stream(), w->matrix, 0, 0, (*a)[0].view()); });
}

// A twentieth of the elements of a gradient, as sparse fine-tuning reads them.
void add_entries(const Model& m) {
  const std::int64_t count = 2 * m.F * m.C / 20;
  auto a = arrays(Shape{2 * m.F, m.C}, Shape{count, 2}, Shape{count, 1});
  Random random(2, Purpose::kTest);
  for (std::int64_t i = 0; i < count; ++i) {
    (*a)[1].view().as<float>()[2 * i] = static_cast<float>(2 * m.F * i / count);
    (*a)[1].view().as<float>()[2 * i + 1] =
        static_cast<float>(random.below(static_cast<std::uint64_t>(m.C)));
  }
  const Entries entries = {(*a)[1].view(), 0, 0};
  add(std::string("gather_entries/") + m.name, {d(count), size(5 * count)},
      [=] { gather_entries(Stream(), entries, (*a)[0].view(), (*a)[2].view()); });
}

// Products of generation, `rows` sequences at a time: ours and the library's. Weights of several
// layers take turns, so that they come from memory as those of a model do.
void add_decode(const Model& m, const char* what, std::int64_t cols, std::int64_t inner) {
  const std::int64_t copies = std::max<std::int64_t>(1, (std::int64_t{1} << 25) / (cols * inner));
  auto weights = std::make_shared<std::unique_ptr<Array>>();  // made when first used: it is large
  for (const std::int64_t rows : {1, 4, 8, 16, 64, 512}) {
    auto a = arrays(Shape{rows, inner}, Shape{rows, cols});
    auto next = std::make_shared<std::int64_t>(0);
    const Work work = {2.0 * d(rows) * d(cols) * d(inner),
                       size(rows * inner + cols * inner + rows * cols),
                       size(copies * cols * inner)};
    const std::string at = std::string("_") + what + "_" + std::to_string(rows) + "/" + m.name;
    const auto layer = [=] {
      if (*weights == nullptr) {
        *weights = std::make_unique<Array>(Shape{copies * cols, inner});
      }
      *next = (*next + 1) % copies;
      return (*weights)->view().row_range(*next * cols, (*next + 1) * cols);
    };
    add("row_gemm" + at, work,
        [=] { row_gemm(Stream(), 1, (*a)[0].view(), layer(), 0, (*a)[1].view()); });
    add("sgemm" + at, work, [=] {
      library_gemm(Transpose::kNo, Transpose::kYes, (*a)[0].view(), layer(), (*a)[1].view());
    });
  }
}

void add_norms_and_pointwise(const Model& m) {
  const std::string at = std::string("/") + m.name;
  const double tokens = d(m.T);
  auto n = arrays(Shape{m.T, m.C}, Shape{m.T, m.C}, Shape{m.C}, Shape{m.T, m.C}, Shape{m.T},
                  Shape{m.T, m.C}, Shape{m.C});
  add("rmsnorm_forward" + at, {5 * tokens * d(m.C), size(2 * m.T * m.C)}, [=] {
    rmsnorm_forward(Stream(), (*n)[0].view(), {}, (*n)[2].view(), 1e-6, (*n)[3].view(),
                    (*n)[4].view());
  });
  add("rmsnorm_backward" + at, {12 * tokens * d(m.C), size(4 * m.T * m.C)}, [=] {
    rmsnorm_backward(Stream(), (*n)[1].view(), (*n)[0].view(), (*n)[2].view(), (*n)[4].view(),
                     (*n)[5].view(), (*n)[6].view());
  });
  auto s = arrays(Shape{m.T, 2 * m.F}, Shape{m.T, m.F}, Shape{m.T, 2 * m.F});
  add("swiglu_forward" + at, {12 * tokens * d(m.F), size(3 * m.T * m.F)},
      [=] { swiglu_forward(Stream(), (*s)[0].view(), (*s)[1].view()); });
  add("swiglu_backward" + at, {20 * tokens * d(m.F), size(5 * m.T * m.F)},
      [=] { swiglu_backward(Stream(), (*s)[1].view(), (*s)[0].view(), (*s)[2].view(), {}); });
  const std::int64_t dim = m.C / m.H;
  auto r = arrays(Shape{m.T, m.C}, Shape{m.T, dim / 2}, Shape{m.T, dim / 2});
  auto positions = std::make_shared<std::vector<std::int32_t>>();
  for (std::int64_t t = 0; t < m.T; ++t) {
    positions->push_back(static_cast<std::int32_t>(t % kSegment));
  }
  std::vector<double> frequencies;
  for (std::int64_t i = 0; i < dim / 2; ++i) {
    frequencies.push_back(std::pow(10000.0, -2.0 * d(i) / d(dim)));
  }
  rope_table(frequencies, (*r)[1].view(), (*r)[2].view());
  const TensorView places(positions->data(), DType::kI32, Shape{m.T});
  add("rope" + at, {3 * tokens * d(m.C), size(2 * m.T * m.C), size(m.T * m.C)},
      [=, keep = positions] {
        rope_apply(Stream(), (*r)[0].view(), dim, places, (*r)[1].view(), (*r)[2].view(), false);
      });
}

// What other families than llama use in their place.
void add_other_norms_and_pointwise(const Model& m) {
  const std::string at = std::string("/") + m.name;
  const double tokens = d(m.T);
  auto n = arrays(Shape{m.T, m.C}, Shape{m.T, m.C}, Shape{m.C}, Shape{m.C}, Shape{m.T, m.C},
                  Shape{m.T, 2}, Shape{m.T, m.H}, Shape{m.C / m.H});
  add("layernorm_forward" + at, {8 * tokens * d(m.C), size(2 * m.T * m.C)}, [=] {
    layernorm_forward(Stream(), (*n)[0].view(), {}, (*n)[2].view(), (*n)[3].view(), 1e-5,
                      (*n)[1].view(), (*n)[5].view());
  });
  add("layernorm_backward" + at, {18 * tokens * d(m.C), size(4 * m.T * m.C)}, [=] {
    layernorm_backward(Stream(), (*n)[1].view(), (*n)[0].view(), (*n)[2].view(), (*n)[5].view(),
                       (*n)[4].view(), (*n)[3].view());
  });
  add("head_norm_forward" + at, {5 * tokens * d(m.C), size(2 * m.T * m.C)}, [=] {
    head_norm_forward(Stream(), (*n)[0].view(), (*n)[7].view(), 1e-6, (*n)[1].view(),
                      (*n)[6].view());
  });
  add("head_norm_backward" + at, {12 * tokens * d(m.C), size(3 * m.T * m.C)}, [=] {
    head_norm_backward(Stream(), (*n)[1].view(), (*n)[0].view(), (*n)[7].view(), (*n)[6].view(),
                       (*n)[4].view(), (*n)[7].view());
  });
  add("bias_add" + at, {tokens * d(m.C), size(2 * m.T * m.C)},
      [=] { bias_add(Stream(), (*n)[2].view(), (*n)[1].view()); });
  add("bias_gradient" + at, {tokens * d(m.C), size(m.T * m.C)},
      [=] { bias_gradient(Stream(), (*n)[1].view(), (*n)[3].view()); });
  auto s = arrays(Shape{m.T, 2 * m.F}, Shape{m.T, m.F}, Shape{m.T, 2 * m.F}, Shape{m.T, m.F});
  for (const auto& [kind, word] : {std::pair{Gelu::kTanh, "tanh"}, {Gelu::kErf, "erf"}}) {
    add(std::string("gelu_forward_") + word + at, {14 * tokens * d(m.F), size(2 * m.T * m.F)},
        [=, kind = kind] { gelu_forward(Stream(), kind, (*s)[1].view(), (*s)[3].view()); });
    add(std::string("geglu_backward_") + word + at, {24 * tokens * d(m.F), size(5 * m.T * m.F)},
        [=, kind = kind] {
          geglu_backward(Stream(), kind, (*s)[1].view(), (*s)[0].view(), (*s)[2].view());
        });
  }
}

void add_attention(const Model& m) {
  const std::string at = std::string("/") + m.name;
  auto a = arrays(Shape{m.T, 3 * m.C}, Shape{m.T, m.C}, Shape{m.T, m.H}, Shape{m.T, m.C},
                  Shape{m.T, 3 * m.C});
  auto segments = std::make_shared<std::vector<std::int32_t>>();
  for (std::int64_t t = 0; t <= m.T; t += kSegment) {
    segments->push_back(static_cast<std::int32_t>(t));
  }
  const int dim = static_cast<int>(m.C / m.H);
  const AttentionShape shape{.num_heads = static_cast<int>(m.H),
                             .num_kv_heads = static_cast<int>(m.H),
                             .head_dim = dim,
                             .scale = 0.1};
  const auto part = [=](std::size_t which, std::int64_t i) {
    return (*a)[which].view().columns(i * m.C, (i + 1) * m.C);
  };
  // Half of the square: a token sees the tokens up to itself.
  const double forward = 2 * 2 * 0.5 * d(m.T) * d(kSegment + 1) * d(m.C);
  add("attention_forward" + at, {forward, size(4 * m.T * m.C)}, [=] {
    attention_forward(Stream(), shape, part(0, 0), part(0, 1), part(0, 2), *segments,
                      (*a)[1].view(), (*a)[2].view());
  });
  add("attention_backward" + at, {2.5 * forward, size(8 * m.T * m.C)}, [=] {
    attention_backward(Stream(), shape, (*a)[3].view(), part(0, 0), part(0, 1), part(0, 2),
                       (*a)[1].view(), (*a)[2].view(), *segments, part(4, 0), part(4, 1),
                       part(4, 2));
  });
}

// A token of each of 64 sequences that have 96 positions, as answers to short prompts do.
void add_cached_attention(const Model& m) {
  constexpr std::int64_t kSequences = 64;
  constexpr std::int64_t kPositions = 96;
  const AttentionShape shape{.num_heads = static_cast<int>(m.H),
                             .num_kv_heads = static_cast<int>(m.H),
                             .head_dim = static_cast<int>(m.C / m.H),
                             .scale = 0.25};
  constexpr std::int64_t kPages = (kPositions + kCachePage - 1) / kCachePage;
  struct Cache {
    Array pages, q, out;
    std::vector<void*> places;
    std::vector<CachedToken> tokens;
  };
  auto c =
      std::make_shared<Cache>(Cache{Array(Shape{kSequences * kPages, cache_page_elements(shape)}),
                                    Array(Shape{kSequences, m.C}),
                                    Array(Shape{kSequences, m.C}),
                                    {},
                                    {}});
  for (std::int64_t page = 0; page < kSequences * kPages; ++page) {
    c->places.push_back(c->pages.view().row_range(page, page + 1).data);
  }
  for (std::int64_t s = 0; s < kSequences; ++s) {
    c->tokens.push_back({c->places.data() + s * kPages, static_cast<std::int32_t>(kPositions - 1)});
  }
  const double seen = d(kSequences * kPositions * m.C);
  add(std::string("cached_attention/") + m.name, {4 * seen, 8 * seen},
      [=] { cached_attention(Stream(), shape, c->q.view(), c->tokens, 0, c->out.view()); });
}

void add_embedding_and_head(const Model& m) {
  const std::string at = std::string("/") + m.name;
  auto tokens = std::make_shared<std::vector<std::int32_t>>();
  Random random(3, Purpose::kTest);
  for (std::int64_t t = 0; t < m.T; ++t) {
    tokens->push_back(static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(m.V))));
  }
  const TensorView ids(tokens->data(), DType::kI32, Shape{m.T});
  const std::int64_t rows = cross_entropy_chunk_rows(m.V, DType::kF32);
  auto a = arrays(Shape{m.T, m.C}, Shape{m.V, m.C}, Shape{m.T}, Shape{m.T, m.C}, Shape{m.V, m.C},
                  Shape{m.T, m.C}, Shape{rows, m.V});
  add("embedding_forward" + at, {0, size(2 * m.T * m.C)},
      [=, keep = tokens] { embedding_forward(Stream(), ids, (*a)[1].view(), (*a)[0].view()); });
  add("embedding_backward" + at, {d(m.T * m.C), size(3 * m.T * m.C), size(2 * m.T * m.C)},
      [=] { embedding_backward(Stream(), ids, (*a)[0].view(), (*a)[4].view()); });
  const double head = 2.0 * d(m.T) * d(m.V) * d(m.C);
  add("head_and_loss_forward" + at, {head, size(m.T * m.C + m.V * m.C)}, [=] {
    linear_cross_entropy(Stream(), (*a)[0].view(), (*a)[1].view(), ids, {}, 1e-3, (*a)[2].view(),
                         {}, {}, (*a)[5].view(), (*a)[6].view());
  });
  add("head_and_loss_training" + at, {3 * head, size(2 * m.T * m.C + 3 * m.V * m.C)}, [=] {
    linear_cross_entropy(Stream(), (*a)[0].view(), (*a)[1].view(), ids, {}, 1e-3, (*a)[2].view(),
                         (*a)[3].view(), (*a)[4].view(), (*a)[5].view(), (*a)[6].view());
  });
  const std::int64_t logit_rows = 128;
  auto l = arrays(Shape{logit_rows, m.V}, Shape{logit_rows}, Shape{logit_rows, m.V},
                  Shape{logit_rows, kDivergenceStatistics});
  const TensorView some = TensorView(tokens->data(), DType::kI32, Shape{logit_rows});
  add("cross_entropy_in_place" + at, {10 * d(logit_rows * m.V), size(2 * logit_rows * m.V)}, [=] {
    cross_entropy_in_place(Stream(), (*l)[0].view(), some, {}, 1e-3, (*l)[1].view(), true);
  });
  // Of a teacher's distribution: the likelihood's part is left out.
  add("divergence" + at, {30 * d(logit_rows * m.V), size(5 * logit_rows * m.V)}, [=] {
    divergence_statistics(Stream(), {}, (*l)[0].view(), (*l)[2].view(), some, (*l)[3].view());
    divergence_finish(Stream(), {}, (*l)[0].view(), (*l)[2].view(), some, {}, 1e-3, (*l)[3].view(),
                      (*l)[1].view(), true);
  });
  const std::int64_t rank = 256;
  auto v = arrays(Shape{m.F}, Shape{m.F, rank}, Shape{rank}, Shape{m.F, rank});
  add("scale_matrix" + at, {2 * d(m.F * rank), size(2 * m.F * rank)}, [=] {
    scale_matrix(Stream(), (*v)[0].view(), (*v)[1].view(), (*v)[2].view(), (*v)[3].view());
  });
  add("scale_matrix_gradient" + at, {6 * d(m.F * rank), size(4 * m.F * rank)}, [=] {
    scale_matrix_gradient(Stream(), (*v)[3].view(), (*v)[0].view(), (*v)[1].view(), (*v)[2].view(),
                          (*v)[0].view(), (*v)[2].view());
  });
}

void add_packed_update(const Model& m, const char* name, MomentCode code, std::int64_t parameters) {
  const double bytes = code == MomentCode::kInt8 ? 1 : 2;
  const auto scales = (parameters + kMomentBlock - 1) / kMomentBlock;
  auto p = arrays(Shape{parameters}, Shape{parameters}, Shape{parameters}, Shape{parameters},
                  Shape{scales}, Shape{scales});
  const PackedMoments moments{.code = code,
                              .m = (*p)[2].view().data,
                              .v = (*p)[3].view().data,
                              .m_scales = (*p)[4].view().as<float>(),
                              .v_scales = (*p)[5].view().as<float>()};
  for (std::int64_t i = 0; i < parameters; ++i) {
    (*p)[3].view().as<float>()[i] *= (*p)[3].view().as<float>()[i];
  }
  pack_moments(Stream(), (*p)[1].view(), (*p)[3].view(), moments);
  const double packed = 2 * bytes * d(parameters) + size(2 * scales);
  add(std::string(name) + "/" + m.name,
      {14 * d(parameters), size(3 * parameters) + 2 * packed, size(2 * parameters) + packed}, [=] {
        adamw_update_packed(Stream(), {.learning_rate = 1e-6, .step = 1000}, (*p)[0].view(),
                            (*p)[1].view(), moments);
      });
}

void add_update(const Model& m, std::int64_t parameters) {
  const std::string at = std::string("/") + m.name;
  auto p = arrays(Shape{parameters}, Shape{parameters}, Shape{parameters}, Shape{parameters});
  for (std::int64_t i = 0; i < parameters; ++i) {  // a second moment is not negative
    (*p)[3].view().as<float>()[i] = 1e-4F;
  }
  add("adamw" + at, {14 * d(parameters), size(7 * parameters), size(4 * parameters)}, [=] {
    adamw_update(Stream(), {.learning_rate = 1e-6, .step = 1000}, (*p)[0].view(), (*p)[1].view(),
                 (*p)[2].view(), (*p)[3].view());
  });
  add_packed_update(m, "adamw_bf16", MomentCode::kBf16, parameters);
  add_packed_update(m, "adamw_int8", MomentCode::kInt8, parameters);
  add("squared_norm" + at, {2 * d(parameters), size(parameters)},
      [=] { benchmark::DoNotOptimize(squared_norm(Stream(), (*p)[1].view())); });
  add("squared_norm_blocks" + at, {2 * d(parameters), size(parameters)}, [=] {
    ExactSum total;
    squared_norm_blocks(Stream(), (*p)[1].view(), total);
    benchmark::DoNotOptimize(total.value());
  });
  add("add_in_place" + at, {d(parameters), size(3 * parameters), size(2 * parameters)},
      [=] { add_in_place(Stream(), (*p)[1].view(), (*p)[2].view()); });
}

// Sum of all elements, by all threads: nothing but loads.
std::int64_t read_sum(const TensorView& x) {
  std::atomic<std::int64_t> total = 0;
  parallel_for(x.num_elements(), 1 << 16, [&](std::int64_t begin, std::int64_t end) {
    std::int32_t sum = 0;
    for (std::int64_t i = begin; i < end; ++i) {
      sum ^= x.as<std::int32_t>()[i];
    }
    total += sum;
  });
  return total;
}

void add_all() {
  for (const Model& m : kModels) {
    const Transpose no = Transpose::kNo;
    const Transpose yes = Transpose::kYes;
    add_gemm(m, "forward_qkv", no, yes, m.T, 3 * m.C, m.C);
    add_gemm(m, "forward_gate_up", no, yes, m.T, 2 * m.F, m.C);
    add_gemm(m, "forward_down", no, yes, m.T, m.C, m.F);
    add_gemm(m, "dx_gate_up", no, no, m.T, m.C, 2 * m.F);
    add_gemm(m, "dw_gate_up", yes, no, 2 * m.F, m.C, m.T);
    add_quantised(m, "forward_gate_up", yes, 2 * m.F, m.C);
    add_quantised(m, "dx_gate_up", no, 2 * m.F, m.C);
    add_entries(m);
    add_gemm(m, "lora_a", no, yes, m.T, 24, m.C);
    add_gemm(m, "lora_b", no, yes, m.T, m.F, 8);
    add_gemm(m, "lora_dw", yes, no, m.F, 8, m.T);
    add_decode(m, "gate_up", 2 * m.F, m.C);
    add_decode(m, "down", m.C, m.F);
    add_norms_and_pointwise(m);
    add_other_norms_and_pointwise(m);
    add_attention(m);
    add_cached_attention(m);
    add_embedding_and_head(m);
    add_update(m, m.V * m.C + 4 * (4 * m.C * m.C + 3 * m.C * m.F));
  }
  auto long_array = std::make_shared<std::unique_ptr<Array>>();
  add("read_memory", {0, size(std::int64_t{1} << 26)}, [=] {  // what reading weights costs at least
    if (*long_array == nullptr) {
      *long_array = std::make_unique<Array>(Shape{std::int64_t{1} << 26}, DType::kI32);
    }
    benchmark::DoNotOptimize(read_sum((*long_array)->view()));
  });
  add_decode(kSmolLm2, "gate_up", 2 * kSmolLm2.F, kSmolLm2.C);
  add_decode(kSmolLm2, "down", kSmolLm2.C, kSmolLm2.F);
  add_decode(kSmolLm2, "o", kSmolLm2.C, kSmolLm2.C);
}

int run(int argc, char** argv) {
  int threads = 1;
  std::vector<char*> rest = {argv[0]};
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--help" || argument == "-h") {
      std::puts(
          "finescale-bench: kernels against the roofline of this machine\n"
          "  finescale-bench step --help  a whole training step instead\n"
          "  finescale-bench gpu --help   CUDA kernels on a GPU instead\n"
          "  --threads=N                  threads of the kernels and of the roofline (default 1)\n"
          "  --benchmark_filter=REGEX     e.g. 'gemm.*/small'\n"
          "  --benchmark_format=json      and the other flags of Google Benchmark\n"
          "  FINESCALE_ISA=scalar|avx2|avx512 caps the instruction set\n"
          "roofline_% is the least time (FLOPs at the measured peak, or bytes at the rate of a = b "
          "+ s a\n"
          "for a working set of that size, whichever is longer) over the time taken");
      return 0;
    }
    if (argument.starts_with("--threads=")) {
      threads = std::max(1, std::atoi(argument.c_str() + std::strlen("--threads=")));
    } else {
      rest.push_back(argv[i]);
    }
  }
  set_num_threads(threads);
  std::fprintf(stderr,
               "isa %s, %d threads, peak %.1f GFLOP/s, update %.1f GB/s in cache, %.1f in memory\n",
               isa_name(active_isa()), threads, peak_flops() / 1e9, bandwidth(1 << 18) / 1e9,
               bandwidth(1 << 28) / 1e9);
  add_all();
  int count = static_cast<int>(rest.size());
  benchmark::Initialize(&count, rest.data());
  if (benchmark::ReportUnrecognizedArguments(count, rest.data())) {
    return 2;
  }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace

int run_kernel_rows(int argc, char** argv) {
  return run(argc, argv);
}

}  // namespace finescale::bench
