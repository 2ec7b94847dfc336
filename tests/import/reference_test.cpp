// SPDX-License-Identifier: Apache-2.0
// Models and adapters in the layout of other programs against numbers that transformers and PEFT
// computed in f64. Skipped where the reference is absent.
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/files.h"
#include "tests/checkpoint/safetensors_fixture.h"
#include "worker/export/export_model.h"
#include "worker/import/open_model.h"
#include "worker/tool/score_tool.h"

namespace finescale {
namespace {

constexpr double kLogitTolerance = 2e-4;  // absolute, f32 against f64
constexpr double kLossTolerance = 1e-5;   // relative

std::string reference_directory() {
  const char* const given = std::getenv("FINESCALE_REFERENCE");
  return given != nullptr ? given : FINESCALE_SOURCE_DIR "/../shared/reference/hf";
}

class Reference : public FilesTest, public testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(place())) {
      GTEST_SKIP() << "no reference at " << place();
    }
    reference_ = nlohmann::json::parse(read_file(place() + "/reference.json"));
    std::string lines;
    for (const nlohmann::json& example : reference_["cases"]) {
      lines += nlohmann::json{{"ids", example["ids"]}, {"labels", example["labels"]}}.dump() + "\n";
    }
    write_file_atomically(directory_ + "/cases.jsonl", lines);
  }
  [[nodiscard]] static std::string place() { return reference_directory() + "/" + GetParam(); }

  void expect_reference(const std::string& model) const {
    OpenedModel opened = open_model(model);
    const auto scores =
        nlohmann::json::parse(score_model(opened, {directory_ + "/cases.jsonl", 5, 1}));
    const double loss = reference_["mean_loss"];
    EXPECT_NEAR(scores["loss"], loss, kLossTolerance * loss);
    for (std::size_t i = 0; i < reference_["cases"].size(); ++i) {
      const nlohmann::json& expected = reference_["cases"][i];
      const nlohmann::json& found = scores["examples"][i];
      double sum = 0;
      for (const nlohmann::json& logprob : found["logprobs"]) {
        sum -= logprob.is_null() ? 0 : logprob.get<double>();
      }
      const double sum_loss = expected["sum_loss"];
      EXPECT_NEAR(sum, sum_loss, kLossTolerance * sum_loss) << i;
      for (std::size_t k = 0; k < 5; ++k) {
        EXPECT_EQ(found["top"][k]["id"], expected["last_position_top5"][k][0]) << i;
        EXPECT_NEAR(found["top"][k]["logit"], expected["last_position_top5"][k][1], kLogitTolerance)
            << i;
      }
    }
  }

  nlohmann::json reference_;
};

TEST_P(Reference, ScoresAreThoseOfTheReference) {
  expect_reference(place());
}

TEST_P(Reference, ScoresSurviveAnExport) {
  OpenedModel opened = open_model(place());
  export_model(opened, {ExportFormat::kHuggingFace, true, StoredType::kF32, 30000,
                        directory_ + "/exported"});
  expect_reference(directory_ + "/exported");
}

INSTANTIATE_TEST_SUITE_P(Models, Reference,
                         testing::Values("llama-tied", "llama-gqa-untied", "qwen2-bias-bf16",
                                         "gpt2", "lora-on-llama-tied", "dora-on-llama-gqa"),
                         [](const auto& instance) {
                           std::string name = instance.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace finescale
