// SPDX-License-Identifier: Apache-2.0
// Matrix products, of quantised and sparse weights too.
#include "kernels/bench/rows.h"

#include "core/device.h"
#include "kernels/bench/library_gemm.h"
#include "kernels/entries.h"
#include "kernels/gemm.h"
#include "kernels/quantised.h"
#include "kernels/row_gemm.h"

namespace finescale::bench {
namespace {

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
    const std::int64_t row = 2 * m.F * i / count;
    (*a)[1].view().as<float>()[2 * i] = static_cast<float>(row);
    (*a)[1].view().as<float>()[2 * i + 1] =
        static_cast<float>(random.below(static_cast<std::uint64_t>(m.C)));
  }
  const Entries entries = {(*a)[1].view(), 0, 0};
  add(std::string("gather_entries/") + m.name, {d(count), size(5 * count)},
      [=] { gather_entries(Stream(), entries, (*a)[0].view(), (*a)[2].view()); });
}

}  // namespace

// Products of generation, `rows` sequences at a time: ours and the library's. Weights of several
// layers take turns, so that they come from memory as those of a model do.
void add_decode_rows(const Model& m, const char* what, std::int64_t cols, std::int64_t inner) {
  const std::int64_t copies = std::max<std::int64_t>(1, (std::int64_t{1} << 25) / (cols * inner));
  // Made when first used: they are large.
  auto weights = std::make_shared<std::unique_ptr<Array>>();
  auto halves = std::make_shared<std::unique_ptr<Array>>();  // as bf16, on more copies
  for (const std::int64_t rows : {1, 4, 8, 16, 64, 512}) {
    auto a = arrays(Shape{rows, inner}, Shape{rows, cols});
    auto next = std::make_shared<std::int64_t>(0);
    const Work work = {2.0 * d(rows) * d(cols) * d(inner),
                       size(rows * inner + cols * inner + rows * cols),
                       size(copies * cols * inner)};
    const std::string at = std::string("_") + what + "_" + std::to_string(rows) + "/" + m.name;
    const auto layer_of = [=](std::unique_ptr<Array>& all, DType dtype, std::int64_t count) {
      if (all == nullptr) {
        all = std::make_unique<Array>(Shape{count * cols, inner}, dtype);
      }
      *next = (*next + 1) % count;
      return all->view().row_range(*next * cols, (*next + 1) * cols);
    };
    const auto layer = [=] { return layer_of(*weights, DType::kF32, copies); };
    add("row_gemm" + at, work,
        [=] { row_gemm(Stream(), 1, (*a)[0].view(), layer(), 0, (*a)[1].view()); });
    add("row_gemm_bf16" + at,
        {work.flops, size(rows * inner + rows * cols) + size(cols * inner) / 2, work.footprint},
        [=] {
          row_gemm(Stream(), 1, (*a)[0].view(), layer_of(*halves, DType::kBf16, 2 * copies), 0,
                   (*a)[1].view());
        });
    add("sgemm" + at, work, [=] {
      library_gemm(Transpose::kNo, Transpose::kYes, (*a)[0].view(), layer(), (*a)[1].view());
    });
  }
}

void add_product_rows(const Model& m) {
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
  add_decode_rows(m, "gate_up", 2 * m.F, m.C);
  add_decode_rows(m, "down", m.C, m.F);
}

}  // namespace finescale::bench
