// SPDX-License-Identifier: Apache-2.0
// Embedding, head and loss, and the update.
#include "kernels/bench/rows.h"

#include <benchmark/benchmark.h>

#include "core/device.h"
#include "core/logits_chunk.h"
#include "kernels/adamw.h"
#include "kernels/cross_entropy.h"
#include "kernels/embedding.h"
#include "kernels/packed_moments.h"
#include "kernels/reduce.h"
#include "kernels/scaled_matrix.h"

namespace finescale::bench {
namespace {

void add_embedding_and_head(const Model& m) {
  const std::string at = std::string("/") + m.name;
  auto tokens = std::make_shared<std::vector<std::int32_t>>();
  Random random(3, Purpose::kTest);
  for (std::int64_t t = 0; t < m.T; ++t) {
    tokens->push_back(static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(m.V))));
  }
  const TensorView ids(tokens->data(), DType::kI32, Shape{m.T});
  const std::int64_t rows = logits_chunk_rows(m.V, sizeof(float), false, m.T);
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
    cross_entropy_in_place(Stream(), (*l)[0].view(), some, {}, 1e-3, (*l)[1].view(),
                           (*l)[0].view());
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

}  // namespace

void add_loss_and_update_rows(const Model& m) {
  add_embedding_and_head(m);
  add_update(m, m.V * m.C + 4 * (4 * m.C * m.C + 3 * m.C * m.F));
}

}  // namespace finescale::bench
