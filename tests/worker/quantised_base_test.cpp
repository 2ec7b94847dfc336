// SPDX-License-Identifier: Apache-2.0
// A base of few bits: its memory, and that every way to its values gives the same.
#include <gtest/gtest.h>

#include "tests/worker/kind_fixture.h"
#include "worker/import/quantised_source.h"
#include "worker/trainable.h"

namespace finescale::kind_test {
namespace {

config::ModelConfig wide_model(bool tied) {
  config::ModelConfig config;
  config::Llama& llama = *config.mutable_llama();
  llama.set_vocab_size(kVocab);
  llama.set_hidden_size(128);
  llama.set_num_layers(2);
  llama.set_num_heads(4);
  llama.set_intermediate_size(192);
  llama.set_max_positions(64);
  llama.set_initializer_range(0.1);
  llama.set_tie_embeddings(tied);
  return config;
}

// Fresh weights, as a file would give them.
class FreshSource final : public WeightSource {
 public:
  explicit FreshSource(bool tied = true) : config_(wide_model(tied)) {
    for (const LogicalShape& tensor : logical_tensors(decoder_shape(config_))) {
      shapes_[tensor.name] =
          tensor.columns == 0 ? Shape{tensor.rows} : Shape{tensor.rows, tensor.columns};
    }
  }
  [[nodiscard]] const config::ModelConfig& config() const override { return config_; }
  void read(const std::string& name, const LocalPart& slab, const TensorView& out) override {
    initialize_tensor(decoder_shape(config_), 3, {name, shapes_.at(name), {}, true}, slab, out);
  }

 private:
  config::ModelConfig config_;
  std::map<std::string, Shape> shapes_;
};

class QuantisedBase : public testing::Test {
 protected:
  QuantisedBase() : group_(make_single_group()), mesh_(*group_, {}) {
    set_num_threads(1);
    engine_.mesh = &mesh_;
  }
  // Sum of the losses of some text.
  double loss_of(std::shared_ptr<BaseModel> base) {
    MeasuredModel model(engine_, {std::move(base), {}});
    MicroBatch batch;
    for (std::int32_t t = 0; t < 40; ++t) {
      batch.tokens.push_back(t * 7 % kVocab);
      batch.labels.push_back((t + 1) * 7 % kVocab);
      batch.positions.push_back(t);
    }
    batch.segments = {0, 40};
    batch.examples = {0};
    batch.num_labels = 40;
    return model.eval().loss_sum({batch}, 40, [] {});
  }
  std::shared_ptr<BaseModel> read(WeightSource& source, std::optional<Quantisation> how) {
    auto base = std::make_shared<BaseModel>(
        make_base_model(engine_, source.config(), DType::kF32, {.quantised = how}));
    read_base(source, *base);
    return base;
  }

  std::unique_ptr<Group> group_;
  Mesh mesh_;
  Engine engine_;
};

TEST_F(QuantisedBase, MatricesTakeAnEighthOfTheirBytes) {
  FreshSource source;
  const std::shared_ptr<BaseModel> base = read(source, Quantisation{});
  const BasePiece& piece = *base->pieces.front();
  const auto matrices = static_cast<double>(piece.layout.num_layer_parameters());
  EXPECT_LT(static_cast<double>(piece.quantised->memory_bytes()), 0.131 * 4 * matrices);
  const std::int64_t rest = piece.weights.num_elements();
  EXPECT_EQ(rest, kVocab * 128 + 5 * 128);
}

// With products in bf16: tied and untied, a table alone in its piece or with the head.
TEST_F(QuantisedBase, WithATableOfBf16ItComputesAsWithItsRoundedValues) {
  for (const bool tied : {false, true}) {
    FreshSource source(tied);
    const auto base_of = [&](bool is_rounded) {
      engine_.stream = Stream().with_products(Products::kBf16);
      auto base = std::make_shared<BaseModel>(make_base_model(
          engine_, source.config(), DType::kF32,
          {.is_rounded = is_rounded, .quantised = Quantisation{}, .rounds_table = true}));
      read_base(source, *base);
      return base;
    };
    const auto small = base_of(true);
    const auto large = base_of(false);
    const double loss = loss_of(small);
    EXPECT_EQ(loss, loss_of(large));
    EXPECT_NEAR(loss, loss_of(read(source, Quantisation{})), 2e-3 * loss);
    MemoryUse used;
    add_values(*small->pieces.front(), used);
    const BasePiece& piece = *small->pieces.front();
    const double tables = (tied ? 1 : 2) * kVocab * 128.0;
    EXPECT_EQ(static_cast<double>(used.weights),
              static_cast<double>(piece.quantised->memory_bytes()) + 2 * tables + 4 * 5 * 128);
  }
}

TEST_F(QuantisedBase, ItsValuesAreThoseThatOtherProgramsAreGiven) {
  for (const QuantFormat format : {QuantFormat::kNf4, QuantFormat::kInt8, QuantFormat::kInt2}) {
    for (const bool doubles : {false, true}) {
      const Quantisation how{format, doubles};
      FreshSource source;
      const double quantised = loss_of(read(source, how));
      const auto expanded = quantised_source(std::make_unique<FreshSource>(), how);
      EXPECT_NEAR(quantised, loss_of(read(*expanded, std::nullopt)), 1e-4 * quantised);
    }
  }
}

// What is lost grows as the bits get fewer.
TEST_F(QuantisedBase, FewerBitsAreFurtherFromTheModel) {
  FreshSource source;
  const double whole = loss_of(read(source, std::nullopt));
  double last = 0;
  for (const QuantFormat format : {QuantFormat::kInt8, QuantFormat::kNf4, QuantFormat::kInt2}) {
    const double off = std::abs(loss_of(read(source, Quantisation{format, true})) - whole);
    EXPECT_GT(off, last);
    last = off;
  }
}

}  // namespace
}  // namespace finescale::kind_test
