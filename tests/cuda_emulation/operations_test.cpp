// SPDX-License-Identifier: Apache-2.0
// Operations whose twins on a GPU are more than a kernel (libraries, scratch, results on the host),
// called as models call them, against the CPU.
#include <array>
#include <bit>
#include <utility>

#include "core/error.h"
#include "core/exact_sum.h"
#include "kernels/attention.h"
#include "kernels/bias.h"
#include "kernels/cross_entropy.h"
#include "kernels/embedding.h"
#include "kernels/gemm.h"
#include "kernels/quantised.h"
#include "kernels/reduce.h"
#include "kernels/round.h"
#include "tests/cuda_emulation/gpu_fixture.h"
#include "tests/kernels/stored_matrix.h"

namespace finescale {
namespace {

class Operations : public OnGpu {
 protected:
  Stream cpu_;
};

constexpr double kClose = 2e-6;  // f32, other orders of summation

TEST_P(Operations, MatrixProductsOfEveryTranspositionAndStride) {
  constexpr std::int64_t kM = 9;
  constexpr std::int64_t kN = 14;
  constexpr std::int64_t kK = 21;
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    for (const Transpose ta : {Transpose::kNo, Transpose::kYes}) {
      for (const Transpose tb : {Transpose::kNo, Transpose::kYes}) {
        const auto shape = [](Transpose t, std::int64_t rows, std::int64_t cols) {
          return t == Transpose::kNo ? Shape{rows, cols} : Shape{cols, rows};
        };
        const Twin a(stream(), dtype, shape(ta, kM, kK), 1);
        const Twin b(stream(), dtype, shape(tb, kK, kN), 2);
        Twin c(stream(), dtype, {kM, kN + 5}, 3);  // columns 2.. of it, as of stacked projections
        for (const double beta : {0.0, 1.0}) {     // twice: the second time from the kept plan
          gemm(cpu_, ta, tb, 0.5, a.host(), b.host(), beta, c.host().columns(2, 2 + kN));
          gemm(stream(), ta, tb, 0.5, a.gpu(), b.gpu(), beta, c.gpu().columns(2, 2 + kN));
        }
        EXPECT_LE(c.difference(), dtype == DType::kF64 ? 1e-14 : kClose);
      }
    }
  }
}

// To bf16, to nearest, ties to even, on the host.
void round_values(const TensorView& x) {
  for (std::int64_t i = 0; i < x.num_elements(); ++i) {
    const auto bits = std::bit_cast<std::uint32_t>(x.as<float>()[i]);
    x.as<float>()[i] = std::bit_cast<float>((bits + 0x7FFFU + (bits >> 16 & 1U)) & 0xFFFF0000U);
  }
}

TEST_P(Operations, MatrixProductsOfRoundedOperands) {
  const Stream rounding = stream().with_products(Products::kBf16);
  for (const std::int64_t inner : {16, 21}) {  // with and without whole packs
    const Twin x(stream(), DType::kF32, {9, inner}, 1);
    const Twin dy(stream(), DType::kF32, {9, 14}, 2);
    const Twin w(stream(), DType::kF32, {14, inner}, 3);
    Twin y(stream(), DType::kF32, {9, 14}, 4);
    Twin dx(stream(), DType::kF32, {9, inner}, 5);
    Twin dw(stream(), DType::kF32, {14, inner}, 6);
    const auto run = [&](const Stream& where, const auto& of) {
      const SharedOperand shared(where, of(dy));
      gemm(where, Transpose::kNo, Transpose::kYes, 0.5, of(x), of(w), 1, of(y));
      gemm(where, Transpose::kYes, Transpose::kNo, 1, of(dy), of(x), 1, of(dw));
      gemm(where, Transpose::kNo, Transpose::kNo, 1, of(dy), of(w), 0, of(dx));
    };
    run(rounding, [](const Twin& twin) { return twin.gpu(); });
    for (const Twin* operand : {&x, &dy, &w}) {
      round_values(operand->host());
    }
    run(cpu_, [](const Twin& twin) { return twin.host(); });
    for (const Twin* result : {&y, &dx, &dw}) {
      EXPECT_LE(result->difference(), kClose);
    }
  }
}

// What only other products read leaves the sums rounded, and is added to in bf16.
TEST_P(Operations, MatrixProductsIntoOperands) {
  const Stream rounding = stream().with_products(Products::kBf16);
  constexpr std::int64_t kT = 9;
  constexpr std::int64_t kN = 24;
  const Twin x(stream(), DType::kF32, {kT, 16}, 1);
  const Twin w(stream(), DType::kF32, {kN, 16}, 2);
  Twin wanted(stream(), DType::kF32, {kT, kN});
  Twin got(stream(), DType::kBf16, {kT, kN});
  const TensorView part = got.gpu().columns(8, kN);
  gemm(rounding, Transpose::kNo, Transpose::kYes, 1, x.gpu(), w.gpu(), 0, got.gpu());
  gemm(rounding, Transpose::kNo, Transpose::kYes, 0.5, x.gpu(), w.gpu().row_range(8, kN), 1, part);
  round_values(x.host());
  round_values(w.host());
  gemm(cpu_, Transpose::kNo, Transpose::kYes, 1, x.host(), w.host(), 0, wanted.host());
  for (std::int64_t i = 0; i < kT * kN; ++i) {
    wanted.host().as<float>()[i] *= i % kN < 8 ? 1 : 1.5F;
  }
  EXPECT_LE(got.difference_from(wanted), 4e-3);  // two roundings, each of 2^-9
  Twin dw(stream(), DType::kF32, {kN, 16});
  gemm(rounding, Transpose::kYes, Transpose::kNo, 1, got.gpu(), x.gpu(), 0, dw.gpu());
  gemm(cpu_, Transpose::kYes, Transpose::kNo, 1, wanted.host(), x.host(), 0, dw.host());
  EXPECT_LE(dw.difference(), 4e-3);
}

// A matrix of few bits in the GPU's memory.
class OnDevice {
 public:
  OnDevice(const Stream& stream, const QuantisedMatrix& of) : matrix(of) {
    const std::int64_t blocks = of.rows * of.blocks();
    const std::int64_t groups = (of.rows * of.row_blocks + kScaleGroup - 1) / kScaleGroup;
    matrix.codes = moved(stream, of.codes, blocks * block_bytes(of.format));
    matrix.scale_codes = moved(stream, of.scale_codes, blocks);
    matrix.scale_factors = moved(stream, of.scale_factors, groups);
  }
  QuantisedMatrix matrix;

 private:
  template <class T>
  const T* moved(const Stream& stream, const T* from, std::int64_t count) {
    const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(T);
    copy_to_device(stream, from, memory_.emplace_back(bytes, stream).data(), bytes);
    return static_cast<const T*>(memory_.back().data());
  }
  std::vector<AlignedBuffer> memory_;
};

// Forward, by rows as generation does, and the gradient of the input, which is added.
TEST_P(Operations, ProductsWithMatricesOfFewBits) {
  constexpr std::int64_t kT = 9;
  for (const Products products : {Products::kF32, Products::kBf16}) {
    const Stream on = stream().with_products(products);
    const bool rounds = products == Products::kBf16;
    for (const std::int64_t inner : {70, 192}) {
      const Twin w(stream(), DType::kF32, {40, inner}, 1);
      const StoredMatrix stored(QuantFormat::kNf4, w.host(), true);
      const OnDevice there(stream(), stored.matrix);
      const Twin x(stream(), DType::kF32, {kT, inner}, 2);
      const Twin dy(stream(), DType::kF32, {kT, 40}, 3);
      const Twin y(stream(), DType::kF32, {kT, 40});
      const Twin by_row(stream(), DType::kF32, {kT, 40});
      const Twin dx(stream(), DType::kF32, {kT, inner}, 4);
      quantised_gemm(on, Transpose::kYes, x.gpu(), there.matrix, 0, y.gpu());
      quantised_gemm(on, Transpose::kNo, dy.gpu(), there.matrix, 1, dx.gpu());
      quantised_row_gemm(stream(), x.gpu(), there.matrix, by_row.gpu());
      quantised_row_gemm(cpu_, x.host(), stored.matrix, by_row.host());
      EXPECT_LE(by_row.difference(), kClose);
      if (rounds) {
        round_values(x.host());
        round_values(dy.host());
      }
      const Twin values(stream(), DType::kF32, {40, inner});
      dequantise(cpu_, stored.matrix, 0, 0, values.host());
      if (rounds) {
        round_values(values.host());
      }
      gemm(cpu_, Transpose::kNo, Transpose::kYes, 1, x.host(), values.host(), 0, y.host());
      gemm(cpu_, Transpose::kNo, Transpose::kNo, 1, dy.host(), values.host(), 1, dx.host());
      EXPECT_LE(y.difference(), kClose);
      EXPECT_LE(dx.difference(), kClose);
    }
  }
}

TEST_P(Operations, AnOperandIsNotTakenFromACopyThatWasForgotten) {
  const Stream rounding = stream().with_products(Products::kBf16);
  Twin x(stream(), DType::kF32, {4, 8}, 1);
  const Twin w(stream(), DType::kF32, {3, 8}, 2);
  Twin y(stream(), DType::kF32, {4, 3});
  { const SharedOperand shared(rounding, x.gpu()); }
  x.host().as<float>()[0] = 8;
  x.upload();
  gemm(rounding, Transpose::kNo, Transpose::kYes, 1, x.gpu(), w.gpu(), 0, y.gpu());
  round_values(x.host());
  round_values(w.host());
  gemm(cpu_, Transpose::kNo, Transpose::kYes, 1, x.host(), w.host(), 0, y.host());
  EXPECT_LE(y.difference(), kClose);
}

TEST_P(Operations, AProductOverNothingIsZero) {
  Twin c(stream(), DType::kF32, {3, 4}, 1);
  const TensorView a(nullptr, DType::kF32, Shape{3, 0});
  const TensorView b(nullptr, DType::kF32, Shape{0, 4});
  gemm(stream(), Transpose::kNo, Transpose::kNo, 1, a, b, 1, c.gpu());
  EXPECT_EQ(c.difference(), 0);
  gemm(stream(), Transpose::kNo, Transpose::kNo, 1, a, b, 0, c.gpu());
  fill_zero(cpu_, c.host());
  EXPECT_EQ(c.difference(), 0);
}

TEST_P(Operations, ShapesThatDoNotFitAreOurError) {
  const Twin a(stream(), DType::kF32, {3, 4}, 1);
  EXPECT_THROW(gemm(stream(), Transpose::kNo, Transpose::kNo, 1, a.gpu(), a.gpu(), 0, a.gpu()),
               Error);
}

TEST_P(Operations, SumsAndNormsEndOnTheHost) {
  for (const std::int64_t count : {1, 75, 3001, 300000}) {
    const Twin x(stream(), DType::kF32, {count}, 1);
    EXPECT_NEAR(sum(stream(), x.gpu()), sum(cpu_, x.host()), 1e-9 * static_cast<double>(count));
    EXPECT_NEAR(squared_norm(stream(), x.gpu()) / squared_norm(cpu_, x.host()), 1, 1e-13);
    ExactSum wanted;
    ExactSum got;
    squared_norm_blocks(cpu_, x.host(), wanted);
    squared_norm_blocks(stream(), x.gpu(), got);
    EXPECT_EQ(got.words(), wanted.words());  // the same bits
  }
}

TEST_P(Operations, CopiesAndZerosOfColumns) {
  Twin from(stream(), DType::kF32, {6, 10}, 1);
  Twin to(stream(), DType::kF32, {6, 8}, 2);
  const auto run = [](const Stream& where, const TensorView& a, const TensorView& b) {
    copy(where, a.columns(3, 7), b.columns(1, 5));
    fill_zero(where, a.columns(8, 9));
    copy(where, b, b);
  };
  run(cpu_, from.host(), to.host());
  run(stream(), from.gpu(), to.gpu());
  EXPECT_EQ(from.difference(), 0);
  EXPECT_EQ(to.difference(), 0);
}

class AttentionOnGpu : public Operations {
 protected:
  // The largest differences of the output and of the gradients between the CPU and the GPU, where
  // all but the log sums is stored as `stored`.
  std::pair<double, double> differences(DType stored) const;
};

std::pair<double, double> AttentionOnGpu::differences(DType stored) const {
  const AttentionShape shape{.num_heads = 4, .num_kv_heads = 2, .head_dim = 8, .scale = 0.3};
  constexpr std::int64_t kT = 33;
  const std::vector<std::int32_t> segments = {0, 5, 6, 25, 33};
  const Twin on_device(stream(), segments);
  const Twin qkv(stream(), DType::kF32, {kT, 64}, 1);
  const Twin dout(stream(), DType::kF32, {kT, 32}, 2);
  struct Results {
    Twin out, lse, dqkv;
  };
  const auto results = [&](DType dtype) {
    return Results{Twin(stream(), dtype, {kT, 32}), Twin(stream(), DType::kF32, {kT, 4}),
                   Twin(stream(), dtype, {kT, 64})};
  };
  const auto run = [&](const Stream& where, const TensorView& x, const TensorView& dy,
                       const Results& to, const auto& of, const TensorView& ids) {
    const TensorView dx = of(to.dqkv);
    attention_forward(where, shape, x.columns(0, 32), x.columns(32, 48), x.columns(48, 64),
                      segments, of(to.out), of(to.lse), ids);
    attention_backward(where, shape, dy, x.columns(0, 32), x.columns(32, 48), x.columns(48, 64),
                       of(to.out), of(to.lse), segments, dx.columns(0, 32), dx.columns(32, 48),
                       dx.columns(48, 64), ids);
  };
  const Results wanted = results(DType::kF32);
  const Results got = results(stored);
  const auto on_host = [](const Twin& twin) { return twin.host(); };
  const auto on_gpu = [](const Twin& twin) { return twin.gpu(); };
  run(cpu_, qkv.host(), dout.host(), wanted, on_host, {});
  const Twin x(stream(), stored, {kT, 64});
  const Twin dy(stream(), stored, {kT, 32});
  const auto store = [&](const TensorView& from, const TensorView& to) {
    stored == DType::kBf16 ? round_to_bf16(stream(), from, to) : copy(stream(), from, to);
  };
  store(qkv.gpu(), x.gpu());
  store(dout.gpu(), dy.gpu());
  run(stream(), x.gpu(), dy.gpu(), got, on_gpu, on_device.gpu());
  return {got.out.difference_from(wanted.out), got.dqkv.difference_from(wanted.dqkv)};
}

TEST_P(AttentionOnGpu, OverSegments) {
  const auto [out, gradients] = differences(DType::kF32);
  EXPECT_LE(out, kClose);
  EXPECT_LE(gradients, 2 * kClose);
}

TEST_P(AttentionOnGpu, OfRoundedOperands) {
  const auto [out, gradients] = differences(DType::kBf16);
  EXPECT_GT(out, 1e-4);  // it does round
  EXPECT_LE(out, 1e-2);
  EXPECT_LE(gradients, 1e-2);
}
INSTANTIATE_TEST_SUITE_P(Paces, AttentionOnGpu, all_paces(), pace_name);

TEST_P(Operations, GradientsOfTheEmbeddingInOneStepAndInTwo) {
  std::vector<std::int32_t> ids;
  for (int t = 0; t < 50; ++t) {
    ids.push_back(t % 9 == 4 ? kNoRow : t * t % 13);
  }
  const Twin tokens(stream(), ids);
  const Twin dy(stream(), DType::kF32, {50, 12}, 1);
  Twin whole(stream(), DType::kF32, {13, 12}, 2);
  embedding_backward(cpu_, tokens.host(), dy.host(), whole.host());
  embedding_backward(stream(), tokens.gpu(), dy.gpu(), whole.gpu());
  EXPECT_EQ(whole.difference(), 0);

  Twin found(stream(), std::vector<std::int32_t>(50));
  Twin rows(stream(), DType::kF32, {50, 12});
  const std::int64_t wanted =
      embedding_gather_gradient(cpu_, tokens.host(), dy.host(), found.host(), rows.host());
  ASSERT_EQ(embedding_gather_gradient(stream(), tokens.gpu(), dy.gpu(), found.gpu(), rows.gpu()),
            wanted);
  EXPECT_EQ(found.difference(), 0);
  EXPECT_EQ(rows.difference(), 0);
  const auto first = [&](const TensorView& all) {
    return TensorView(all.data, all.dtype, Shape{wanted});
  };
  add_rows(cpu_, first(found.host()), rows.host().row_range(0, wanted), whole.host());
  add_rows(stream(), first(found.gpu()), rows.gpu().row_range(0, wanted), whole.gpu());
  EXPECT_EQ(whole.difference(), 0);
}

// Chunks of 16 of 50 rows, of which some are not scored, with and without a bias.
TEST_P(Operations, HeadAndLossInChunks) {
  for (const bool every : {false, true}) {
    std::vector<std::int32_t> labels;
    for (int t = 0; t < 50; ++t) {
      labels.push_back(!every && t % 3 == 0 ? kIgnoreLabel : t * 7 % 23);
    }
    const TensorView label_view(labels.data(), DType::kI32, Shape{50});
    const Twin x(stream(), DType::kF32, {50, 12}, 1);
    const Twin weight(stream(), DType::kF32, {23, 12}, 2);
    const Twin bias(stream(), DType::kF32, {23}, 3);
    const Twin factors(stream(), DType::kF32, {50}, 4);
    Twin losses(stream(), DType::kF32, {50});
    Twin dx(stream(), DType::kF32, {50, 12}, 5);
    Twin dweight(stream(), DType::kF32, {23, 12}, 6);
    Twin dbias(stream(), DType::kF32, {23}, 7);
    const Twin gathered(stream(), DType::kF32, {50, 12});
    const Twin logits(stream(), DType::kF32, {16, 23});
    const auto run = [&](const Stream& where, const auto& of) {
      const HeadBias head_bias{of(bias), of(dbias)};
      linear_cross_entropy(where, of(x), of(weight), label_view, of(factors), 0.1, of(losses),
                           of(dx), of(dweight), of(gathered), of(logits), nullptr, &head_bias);
    };
    run(cpu_, [](const Twin& twin) { return twin.host(); });
    run(stream(), [](const Twin& twin) { return twin.gpu(); });
    for (const Twin* result : {&losses, &dx, &dweight, &dbias}) {
      EXPECT_LE(result->difference(), kClose);
    }
  }
}

// What the head and the loss leave behind, with products of bf16.
struct HeadResult {
  explicit HeadResult(const Stream& on)
      : losses(on, DType::kF32, {50}),
        dx(on, DType::kF32, {50, 12}),
        dweight(on, DType::kF32, {23, 12}, 6),
        dbias(on, DType::kF32, {23}, 7) {}
  Twin losses, dx, dweight, dbias;
};

// The gradient of logits lies as bf16 in their own rows, which lie on 16 bytes; with the same bits
// as rounded by a pass of its own, with a whole vocabulary and with a part of one.
TEST_P(Operations, GradientOfLogitsIsRoundedAsItIsMade) {
  const Stream rounding = stream().with_products(Products::kBf16);
  std::vector<std::int32_t> ids;
  for (int t = 0; t < 50; ++t) {
    ids.push_back(t * 7 % 23);
  }
  const Twin labels(stream(), ids);
  const Twin x(stream(), DType::kF32, {50, 12}, 1);
  const Twin weight(stream(), DType::kF32, {23, 12}, 2);
  const Twin bias(stream(), DType::kF32, {23}, 3);
  const Twin rows(stream(), DType::kF32, {50, 24});
  const Twin own(stream(), DType::kF32, {50, 3});
  const TensorView logits = rows.gpu().columns(0, 23);
  ASSERT_EQ(gradient_of_logits(rounding, logits).dtype, DType::kBf16);
  ASSERT_EQ(gradient_of_logits(rounding, rows.gpu().columns(1, 24)).dtype, DType::kF32);
  ASSERT_EQ(gradient_of_logits(stream(), logits).dtype, DType::kF32);
  const VocabularyPart alone{.begin = 0, .combine = [](const TensorView& /*statistics*/) {}};
  for (const VocabularyPart* part : {static_cast<const VocabularyPart*>(nullptr), &alone}) {
    const HeadResult got(stream());
    const HeadBias head_bias{bias.gpu(), got.dbias.gpu()};
    linear_cross_entropy(rounding, x.gpu(), weight.gpu(), labels.host(), {}, 0.1, got.losses.gpu(),
                         got.dx.gpu(), got.dweight.gpu(), {}, logits, part, &head_bias);

    const HeadResult wanted(stream());
    gemm(rounding, Transpose::kNo, Transpose::kYes, 1, x.gpu(), weight.gpu(), 0, logits);
    bias_add(stream(), bias.gpu(), logits);
    if (part == nullptr) {
      cross_entropy_in_place(stream(), logits, labels.gpu(), {}, 0.1, wanted.losses.gpu(), logits);
    } else {
      cross_entropy_statistics(stream(), logits, labels.gpu(), own.gpu(), true);
      cross_entropy_finish(stream(), logits, labels.gpu(), {}, 0.1, own.gpu(), own.gpu(),
                           wanted.losses.gpu(), logits);
    }
    bias_gradient(stream(), logits, wanted.dbias.gpu());
    gemm(rounding, Transpose::kYes, Transpose::kNo, 1, logits, x.gpu(), 1, wanted.dweight.gpu());
    gemm(rounding, Transpose::kNo, Transpose::kNo, 1, logits, weight.gpu(), 0, wanted.dx.gpu());
    const auto difference = [&](const Twin& one, const Twin& other) {
      copy_to_host(stream(), other.gpu().data, other.host().data, other.gpu().size_bytes());
      return one.difference_from(other);
    };
    EXPECT_EQ(difference(got.losses, wanted.losses), 0);
    EXPECT_EQ(difference(got.dx, wanted.dx), 0);
    EXPECT_EQ(difference(got.dweight, wanted.dweight), 0);
    EXPECT_LE(difference(got.dbias, wanted.dbias), 4e-3);  // a sum of what was rounded
  }
}

INSTANTIATE_TEST_SUITE_P(Paces, Operations, all_paces(), pace_name);

}  // namespace
}  // namespace finescale
