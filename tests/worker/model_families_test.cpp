// SPDX-License-Identifier: Apache-2.0
// One tiny model of every family against what transformers computes for it in double precision:
// losses, log-probabilities, gradients of every tensor of its files, greedy ids. The script beside
// the fixture says how it was made; weights are a formula of name and place.
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "configs/decoder.h"
#include "configs/mesh_plan.h"
#include "configs/tensor_names.h"
#include "core/files.h"
#include "tests/worker/greedy_answers.h"
#include "tests/worker/model_fixture.h"

namespace finescale {
namespace {

using nlohmann::json;

// Uniform in [-1, 1): splitmix64 of a counter that starts at the FNV-1a hash of the name.
class Numbers {
 public:
  explicit Numbers(const std::string& name) {
    for (const char c : name) {
      start_ = (start_ ^ static_cast<unsigned char>(c)) * 0x100000001B3;
    }
  }
  [[nodiscard]] double at(std::int64_t i) const {
    std::uint64_t z = start_ + static_cast<std::uint64_t>(i + 1) * 0x9E3779B97F4A7C15;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    z ^= z >> 31;
    return static_cast<double>(z >> 11) * 0x1.0p-52 - 1;
  }

 private:
  std::uint64_t start_ = 0xCBF29CE484222325;
};

const json& families() {
  static const json all =
      json::parse(read_file(FINESCALE_SOURCE_DIR "/tests/worker/fixtures/families.json"));
  return all;
}

// Elements of a logical tensor as they lie in the files: calls body(element of ours, place there).
template <class Body>
void for_each_place(const config::ModelConfig& config, const LogicalShape& tensor, Body&& body) {
  const FileTensor file = hf_tensor(config, tensor.name);
  const std::int64_t columns = std::max<std::int64_t>(1, tensor.columns);
  for (std::int64_t r = 0; r < tensor.rows; ++r) {
    const std::int64_t row = file.first_row + r / file.block * file.stride + r % file.block;
    for (std::int64_t c = 0; c < columns; ++c) {
      body(r * columns + c, file.transposed ? c * file.file_rows + row : row * columns + c);
    }
  }
}

class Families : public testing::TestWithParam<std::string> {
 protected:
  Families()
      : one_(families().at(GetParam())),
        config_(model_config_from_json(one_.at("config"), GetParam())),
        layout_(config_) {
    layout_.declare(weights_);
    weights_.allocate();
    for (const LogicalShape& tensor : logical_tensors(layout_.shape())) {
      fill(tensor);
    }
    model_ = std::make_unique<Transformer>(layout_, weights_);
    batch_.tokens = one_.at("ids").get<std::vector<std::int32_t>>();
    batch_.segments = {0, static_cast<std::int32_t>(batch_.tokens.size())};
    for (std::size_t t = 0; t < batch_.tokens.size(); ++t) {
      const bool last = t + 1 == batch_.tokens.size();
      batch_.positions.push_back(static_cast<std::int32_t>(t));
      batch_.labels.push_back(last ? kIgnoreLabel : batch_.tokens[t + 1]);
      batch_.num_labels += last ? 0 : 1;
    }
  }

  // The name in the fixture, whichever of the accepted spellings it has.
  [[nodiscard]] std::string stored_name(const std::string& logical) const {
    const FileTensor file = hf_tensor(config_, logical);
    const json& names = one_.at("gradients");
    for (const std::string& other : file.also) {
      if (!names.contains(file.name) && names.contains(other)) {
        return other;
      }
    }
    return file.name;
  }

  void fill(const LogicalShape& tensor) {
    const int index = weights_.find(tensor.name);
    ASSERT_GE(index, 0) << tensor.name;
    ASSERT_EQ(weights_.tensor(index).shape.num_elements(),
              tensor.rows * std::max<std::int64_t>(1, tensor.columns));
    const Numbers numbers(stored_name(tensor.name));
    const bool is_bias = tensor.name.ends_with(".bias");
    const double size = tensor.columns > 0 ? 0.6 : 0.3;
    const double middle = tensor.columns > 0 || is_bias ? 0 : 1 - layout_.shape().norm_offset;
    double* out = weights_.view(index).as<double>();
    for_each_place(config_, tensor,
                   [&](auto ours, auto place) { out[ours] = middle + size * numbers.at(place); });
  }

  json one_;
  config::ModelConfig config_;
  ModelLayout layout_;
  ParameterSet weights_{DType::kF64};
  std::unique_ptr<Transformer> model_;
  MicroBatch batch_;
};

TEST_P(Families, TensorsOfTheShapeAreTheLayouts) {
  const auto tensors = logical_tensors(layout_.shape());
  ASSERT_EQ(static_cast<int>(tensors.size()), weights_.size());
  for (int index = 0; index < weights_.size(); ++index) {
    EXPECT_EQ(weights_.tensor(index).name, tensors[static_cast<std::size_t>(index)].name);
  }
  EXPECT_EQ(model_shape(layout_.shape()).parameters(), weights_.num_elements());
}

TEST_P(Families, LogProbabilitiesOfTheWholeVocabulary) {
  const json& wanted = one_.at("log_probabilities");
  for (std::int32_t v = 0; v < layout_.shape().vocab_size; ++v) {
    MicroBatch batch = batch_;
    std::fill(batch.labels.begin(), batch.labels.end(), v);
    TensorView losses;
    (void)model_->forward_loss(batch, 64, &losses);
    for (std::size_t t = 0; t < batch.tokens.size(); ++t) {
      EXPECT_NEAR(-losses.as<double>()[t], wanted[t][static_cast<std::size_t>(v)].get<double>(),
                  1e-7)
          << "position " << t << ", entry " << v;
    }
  }
}

TEST_P(Families, LossAndGradients) {
  AlignedBuffer memory(weights_.flat().size_bytes());
  const TensorView gradient(memory.data(), DType::kF64, Shape{weights_.num_elements()});
  UnitBlocks blocks;
  weights_.split(gradient, blocks);
  model_->bind_gradient(blocks);
  const double loss = one_.at("loss");
  EXPECT_NEAR(model_->forward_backward(batch_, 64, 1), loss, 1e-9 * loss);
  std::map<std::string, std::pair<double, double>> found;  // squared norm, and along a direction
  for (const LogicalShape& tensor : logical_tensors(layout_.shape())) {
    const std::string name = stored_name(tensor.name);
    const Numbers along(name + ".along");
    auto& [squares, dot] = found[name];
    const double* values = weights_.view_in(gradient, weights_.find(tensor.name)).as<double>();
    for_each_place(config_, tensor, [&, &s = squares, &d = dot](auto ours, auto place) {
      s += values[ours] * values[ours];
      d += values[ours] * along.at(place);
    });
  }
  ASSERT_EQ(found.size(), one_.at("gradients").size());
  for (const auto& [name, wanted] : one_.at("gradients").items()) {
    ASSERT_TRUE(found.contains(name)) << name;
    const double norm = wanted[0];
    EXPECT_NEAR(std::sqrt(found[name].first), norm, 1e-7 * norm + 1e-9) << name;
    EXPECT_NEAR(found[name].second, wanted[1].get<double>(), 1e-6 * norm + 1e-9) << name;
  }
}

TEST_P(Families, GreedyIds) {
  const auto group = make_single_group();
  const std::vector<std::int32_t> prompt(batch_.tokens.begin(), batch_.tokens.begin() + 4);
  EXPECT_EQ(greedy_answers(*group, *model_, {prompt}, 8)[0],
            one_.at("greedy").get<std::vector<std::int32_t>>());
}

std::vector<std::string> names() {
  std::vector<std::string> all;
  for (const auto& [name, one] : families().items()) {
    all.push_back(name);
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Transformers, Families, testing::ValuesIn(names()),
                         [](const auto& instance) { return instance.param; });

}  // namespace
}  // namespace finescale
