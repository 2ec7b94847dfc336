// SPDX-License-Identifier: Apache-2.0
// What stands between the products of a layer.
#include "kernels/bench/rows.h"

#include <cmath>

#include "core/device.h"
#include "kernels/attention.h"
#include "kernels/bias.h"
#include "kernels/cached_attention.h"
#include "kernels/factors.h"
#include "kernels/gelu.h"
#include "kernels/head_norm.h"
#include "kernels/layernorm.h"
#include "kernels/prefix_attention.h"
#include "kernels/reduce.h"
#include "kernels/rmsnorm.h"
#include "kernels/rope.h"
#include "kernels/swiglu.h"

namespace finescale::bench {
namespace {

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
  add("add_scaled_columns" + at, {2 * tokens * d(m.C), size(3 * m.T * m.C)},
      [=] { add_scaled_columns(Stream(), (*n)[0].view(), (*n)[2].view(), (*n)[1].view()); });
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
  // Keys and values of 20 virtual tokens; the second [T, 20] and [T, H] are scratch and sums.
  constexpr std::int64_t kPrefix = 20;
  auto p = arrays(Shape{kPrefix, 2 * m.C}, Shape{m.T, kPrefix}, Shape{m.T, kPrefix},
                  Shape{m.T, m.H}, Shape{kPrefix, 2 * m.C});
  const auto half = [=](std::size_t which, std::int64_t i) {
    return (*p)[which].view().columns(i * m.C, (i + 1) * m.C);
  };
  const double seen = 2 * 2 * d(m.T) * d(kPrefix) * d(m.C);
  add("prefix_attention_forward" + at, {seen, size(3 * m.T * m.C)}, [=] {
    prefix_attention_forward(Stream(), shape, part(0, 0), half(0, 0), half(0, 1), (*p)[1].view(),
                             (*a)[1].view(), (*a)[2].view());
  });
  add("prefix_attention_backward" + at, {2.5 * seen, size(4 * m.T * m.C)}, [=] {
    prefix_attention_backward(Stream(), shape, (*a)[3].view(), part(0, 0), half(0, 0), half(0, 1),
                              (*a)[2].view(), (*p)[3].view(), (*p)[1].view(), (*p)[2].view(),
                              {part(4, 0), half(4, 0), half(4, 1)});
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

}  // namespace

void add_layer_rows(const Model& m) {
  add_norms_and_pointwise(m);
  add_other_norms_and_pointwise(m);
  add_attention(m);
  add_cached_attention(m);
}

}  // namespace finescale::bench
