// SPDX-License-Identifier: Apache-2.0
#include "configs/parse.h"

#include <cstdlib>

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include "configs/canonical.h"
#include "configs/flow_text.h"
#include "configs/mesh_plan.h"
#include "configs/nearest_name.h"
#include "configs/ranges.h"
#include "tests/configs/sweep_fixture.h"

namespace finescale {
namespace {

using google::protobuf::util::MessageDifferencer;
using ::testing::ElementsAre;

class Parse : public SweepTest {
 protected:
  static config::Train train_of(const std::string& flow) {
    return load(with_line(12, "    - train: " + flow)).trial().stages(0).train();
  }
  static std::vector<std::string> values_of(const config::Sweep& sweep, int index) {
    return axis_values(sweep, sweep.axes(index));
  }
};

TEST_F(Parse, DefaultsAreResolvedOnce) {
  const config::Sweep sweep = load(with_line(12, "    - train: {}"));
  const config::Train& train = sweep.trial().stages(0).train();
  EXPECT_TRUE(train.method().has_full());
  EXPECT_TRUE(train.objective().has_sft());
  EXPECT_TRUE(train.schedule().has_linear());
  EXPECT_EQ(train.batch().tokens(), 4096);
  EXPECT_THAT(train.betas(), ElementsAre(0.9, 0.999));
  EXPECT_EQ(sweep.trial().stages(0).name(), "train");
  EXPECT_EQ(sweep.trial().stages(1).name(), "evaluate");
  EXPECT_TRUE(sweep.search().has_grid());
  EXPECT_TRUE(sweep.resources().launcher().has_mpirun());
  EXPECT_EQ(sweep.resources().ranks_per_gang(), 1);
  EXPECT_EQ(sweep.laws().metric(), "held_out.loss");
  EXPECT_THAT(sweep.laws().forms(), ElementsAre("power", "power_offset", "rectified"));
  EXPECT_THAT(sweep.laws().per(), ElementsAre("method"));
  EXPECT_EQ(sweep.output(), "runs/words");
  EXPECT_EQ(sweep.base().tokenizer().train().vocab_size(), 512);  // that of the preset
  EXPECT_EQ(sweep.base().architecture().llama().hidden_size(), 64);
}

TEST_F(Parse, PathsAreRelativeToTheFile) {
  std::filesystem::create_directories("elsewhere");
  write("elsewhere/sweep.yaml", valid());
  for (const char* file : {"texts.jsonl", "train.jsonl", "eval.jsonl"}) {
    std::filesystem::copy_file(file, std::string("elsewhere/") + file);
    std::filesystem::remove(file);
  }
  const config::Sweep sweep = load_sweep("elsewhere/sweep.yaml", {});
  EXPECT_EQ(sweep.data().train().path(0), path("elsewhere/train.jsonl"));
  EXPECT_EQ(sweep.base().pretrain().data().path(0), path("elsewhere/texts.jsonl"));
}

TEST_F(Parse, ShorthandsMeanTheLongForms) {
  const config::Train longhand = train_of(
      "{method: {lora: {rank: 4}}, objective: {sft: {}}, schedule: {cosine: {}}, "
      "warmup: {steps: 3}, steps: 1000}");
  const config::Train shorthand = train_of(
      "{method: {lora: {rank: 4}}, objective: sft, schedule: cosine, warmup: 3, steps: 1e3}");
  EXPECT_TRUE(MessageDifferencer::Equals(longhand, shorthand)) << canonical_text(shorthand);
  EXPECT_TRUE(train_of("{method: lora}").method().has_lora());
  EXPECT_THAT(
      train_of("{method: {lora: {target_modules: q_proj}}}").method().lora().target_modules(),
      ElementsAre("q_proj"));
  EXPECT_EQ(train_of("{keep: last, precision: f64}").precision(), config::PRECISION_F64);
}

TEST_F(Parse, AMappingIsTakenAsTheMessageAndAListAsItsShorthand) {
  const config::Sweep sweep = load(with_line(7, "  train: {path: [train.jsonl], limit: 15}"));
  EXPECT_EQ(sweep.data().train().limit(), 15);
  EXPECT_EQ(load(valid()).data().train().path_size(), 1);
}

TEST_F(Parse, ArchitectureIsMergedOverThePreset) {
  const config::Sweep sweep =
      load(with_line(3, "  preset: tiny\n  architecture: {llama: {num_layers: 3}}"));
  EXPECT_EQ(sweep.base().architecture().llama().num_layers(), 3);
  EXPECT_EQ(sweep.base().architecture().llama().hidden_size(), 64);
}

TEST_F(Parse, APresetMayBeAFile) {
  write("mine.yaml", "llama: {vocab_size: 300, hidden_size: 16, num_heads: 2}\n");
  const config::Sweep sweep = load(with_line(3, "  preset: ./mine.yaml"));
  EXPECT_EQ(sweep.base().architecture().llama().hidden_size(), 16);
}

TEST_F(Parse, MeshFollowsTheRanksOfAGangAndBack) {
  EXPECT_EQ(load(valid() + "resources: {ranks_per_gang: 4}\n").mesh().data(), 4);
  EXPECT_EQ(load(valid() + "mesh: {data: 3}\n").resources().ranks_per_gang(), 3);
}

TEST_F(Parse, MeshMayBeLeftToThePlanner) {
  const config::Sweep sweep =
      load(valid() + "mesh: auto\nresources: {ranks_per_gang: 4, memory_per_rank: 1.5 GiB}\n");
  EXPECT_EQ(sweep.mesh().choice(), config::MESH_CHOICE_AUTO);
  EXPECT_EQ(written_fields(sweep.mesh()), std::vector<std::string>{"choice"});
  config::Mesh all;
  parse_canonical(canonical_text(sweep.mesh()), all);
  EXPECT_TRUE(all.has_data());
  clear_unwritten({"choice"}, all);
  EXPECT_EQ(written_fields(all), std::vector<std::string>{"choice"});
  EXPECT_EQ(parse_bytes(sweep.resources().memory_per_rank()), 1.5 * (1 << 30));
}

TEST_F(Parse, ShardsShareTheOptimizersStateUnlessTold) {
  EXPECT_EQ(load(valid() + "mesh: {shard: 2}\n").mesh().zero(), 1);
  EXPECT_EQ(load(valid() + "mesh: {shard: 2, zero: 3}\n").mesh().zero(), 3);
  EXPECT_EQ(load(valid() + "mesh: {shard: 2, zero: 0}\n").mesh().zero(), 0);
  EXPECT_EQ(load(valid() + "mesh: {data: 2}\n").mesh().zero(), 0);
}

TEST_F(Parse, UnnamedStagesOfAKindAreNumbered) {
  const config::Sweep sweep =
      load(with_line(12, "    - train: {method: full}\n    - train: {}\n    - evaluate: {}"));
  EXPECT_EQ(sweep.trial().stages(1).name(), "train2");
  EXPECT_EQ(sweep.trial().stages(3).name(), "evaluate2");
}

TEST_F(Parse, OverridesReachEveryField) {
  const config::Sweep sweep = load(
      valid(), {{"train.method", "full"},
                {"train.batch", "{examples: 8}"},
                {"laws.bootstrap", "10"},
                {"base.pretrain.train.steps", "7"},
                {"data.max_length", "32"},
                {"seed", "9"},
                {"laws.target.held_out.loss", "1.5"},
                {"axes.seed", "[4, 5, 6]"},
                {"axes.train.learning_rate", "{geometric: {from: 1e-3, to: 4e-3, points: 3}}"}});
  EXPECT_TRUE(sweep.trial().stages(0).train().method().has_full());
  EXPECT_EQ(sweep.trial().stages(0).train().batch().examples(), 8);
  EXPECT_EQ(sweep.laws().bootstrap(), 10);
  EXPECT_EQ(sweep.base().pretrain().train().steps(), 7);
  EXPECT_EQ(sweep.data().max_length(), 32);
  EXPECT_EQ(sweep.seed(), 9);
  EXPECT_EQ(sweep.laws().target(0).value(), 1.5);
  ASSERT_EQ(sweep.axes_size(), 3);
  EXPECT_THAT(values_of(sweep, 1), ElementsAre("4", "5", "6"));
  EXPECT_THAT(values_of(sweep, 2), ElementsAre("0.001", "0.002", "0.004"));
}

TEST_F(Parse, AnOverrideIsAPathAndAValue) {
  EXPECT_EQ(parse_override("a.b=c=d"), Override("a.b", "c=d"));
  EXPECT_THROW(static_cast<void>(parse_override("a.b")), Error);
  EXPECT_THROW(static_cast<void>(parse_override("=c")), Error);
}

TEST_F(Parse, SettingAOneofReplacesIt) {
  config::Sweep sweep = load(valid());
  set_field(sweep, "train.method", "{lora: {alpha: 3}}", "");
  EXPECT_EQ(field_text(sweep, "train.method"), "{lora: {alpha: 3}}");
  EXPECT_EQ(field_text(sweep, "train.method.lora.rank"), "8");
}

TEST_F(Parse, AxisValuesAreCanonical) {
  const config::Sweep sweep =
      load(with_line(15,
                     "  train.method: [full, lora, {lora: {alpha: 8.0, rank: 2e0}}]\n"
                     "  train.learning_rate: 0.0010"));
  EXPECT_THAT(values_of(sweep, 0),
              ElementsAre("{full: {}}", "{lora: {}}", "{lora: {rank: 2, alpha: 8}}"));
  EXPECT_THAT(values_of(sweep, 1), ElementsAre("0.001"));
}

TEST_F(Parse, RangesKeepTheirEndsAndRound) {
  const config::Sweep sweep =
      load(with_line(15,
                     "  train.data_budget: {geometric: {from: 2, to: 20, points: 4}}\n"
                     "  train.learning_rate: {geometric: {from: 1e-4, to: 1e-3, points: 3}}\n"
                     "  train.weight_decay: {linear: {from: 0, to: 0.3, points: 4}}"));
  EXPECT_THAT(values_of(sweep, 0), ElementsAre("2", "4", "9", "20"));
  EXPECT_THAT(values_of(sweep, 1), ElementsAre("1e-4", "0.0003162278", "0.001"));
  EXPECT_THAT(values_of(sweep, 2), ElementsAre("0", "0.1", "0.2", "0.3"));
}

TEST_F(Parse, AFieldNeedsToBeValidOnlyAsTrialsSeeIt) {
  const config::Sweep sweep =
      load(with_line(15, "  train.eval_every: [5, 10]\n  train.keep: [last, best]"));
  EXPECT_THAT(values_of(sweep, 1), ElementsAre("last", "best"));
}

TEST_F(Parse, FilesOfAnAxisAreMadeAbsolute) {
  write("more.jsonl", R"({"prompt": "a", "response": "b"})"
                      "\n");
  const config::Sweep sweep =
      load(with_line(15, "  data.train: [train.jsonl, {path: more.jsonl}]"));
  EXPECT_EQ(values_of(sweep, 0)[1], "{path: [" + path("more.jsonl") + "]}");
}

TEST_F(Parse, ThePresetMayBeAnAxis) {
  const config::Sweep sweep =
      load(with_line(3, "  # from the axis") + "  base.preset: [tiny, small]\n");
  EXPECT_EQ(sweep.base().architecture().llama().hidden_size(), 64);
  const config::Sweep small = apply_values(sweep, {{"base.preset", "small"}}, "");
  EXPECT_EQ(small.base().architecture().llama().hidden_size(), 128);
  EXPECT_EQ(small.base().tokenizer().train().vocab_size(), 512);  // one tokenizer for all sizes
}

TEST_F(Parse, TuningTriesAFactorOfSixteenAroundTheField) {
  const config::Sweep sweep =
      load(valid() + "tune: {fields: [train.learning_rate], metric: held_out.loss, trials: 5}\n");
  EXPECT_THAT(tuning_values(sweep, sweep.tune().fields(0)),
              ElementsAre("0.00025", "5e-4", "0.001", "0.002", "0.004"));
}

TEST_F(Parse, ARunIsASweepOfOneTrial) {
  std::string text = valid();
  text = text.substr(text.find('\n') + 1, text.find("axes:") - text.find('\n') - 1);
  write("mine.yaml", text);
  const config::Run run = load_run("mine.yaml", {{"seed", "5"}, {"train.steps", "3"}});
  EXPECT_EQ(run.name(), "mine");
  EXPECT_EQ(run.output(), "runs/mine");
  EXPECT_EQ(run.seed(), 5);
  EXPECT_FALSE(run.has_mesh());  // the number of ranks decides
  EXPECT_EQ(run.trial().stages(0).train().steps(), 3);
  write("axes.yaml", valid());
  EXPECT_THROW(static_cast<void>(load_run("axes.yaml", {})), Error);
}

TEST_F(Parse, AMissingFileSaysSo) {
  for (const char* file : {"none.yaml", "."}) {
    try {
      static_cast<void>(load_sweep(file, {}));
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kConfig);
      EXPECT_EQ(error.where(), file);
    }
  }
}

TEST_F(Parse, YamlTextReadsBackToTheSameSweep) {
  const config::Sweep sweep =
      load(valid() +
           "  train.method: [full, {lora: {rank: 2}}]\n"
           "  train.learning_rate: {geometric: {from: 1e-3, to: 1e-2, points: 3}}\n"
           "tune: {fields: [train.weight_decay], per: [train.method], at: {seed: 2},\n"
           "  metric: held_out.loss, geometric: {from: 0.1, to: 1, points: 4}}\n"
           "laws: {target: {held_out.loss: 1.2}}\n"
           "costs: {per_example: 0.5}\n");
  config::Sweep back;
  parse_yaml(yaml_text(sweep), "copy", back);
  EXPECT_TRUE(MessageDifferencer::Equals(sweep, back)) << yaml_text(sweep);
}

TEST_F(Parse, ASecondPassOverTheRulesAcceptsWhatTheFirstGave) {
  const config::Sweep sweep = load(with_line(12, "    - train: {steps: 5, method: lora}"));
  config::Sweep back;
  parse_canonical(canonical_text(sweep), back);
  EXPECT_EQ(canonical_text(apply_values(back, {{"seed", "2"}}, "")),
            canonical_text(apply_values(sweep, {{"seed", "2"}}, "")));
}

TEST_F(Parse, ShareDirectoryFollowsTheEnvironment) {
  EXPECT_TRUE(std::filesystem::exists(share_directory() + "/presets/tiny.yaml"));
  ::setenv("FINESCALE_SHARE", "/nowhere", 1);
  EXPECT_EQ(share_directory(), "/nowhere");
  ::unsetenv("FINESCALE_SHARE");
}

// Settings of AdamW in either place are the same stage.
TEST_F(Parse, AdamwLiesInTheStageItself) {
  const config::Train named = train_of("{optimizer: {adamw: {betas: [0.8, 0.95], eps: 1e-6}}}");
  const config::Train plain = train_of("{betas: [0.8, 0.95], eps: 1e-6}");
  EXPECT_EQ(named.SerializeAsString(), plain.SerializeAsString());
  EXPECT_EQ(train_of("{optimizer: adamw}").SerializeAsString(), train_of("{}").SerializeAsString());
  EXPECT_TRUE(train_of("{optimizer: {sgd: {momentum: 0.9}}}").optimizer().has_sgd());
}

TEST(FlowScalar, IsQuotedOnlyWhenNeeded) {
  EXPECT_EQ(flow_scalar("plain.word/x"), "plain.word/x");
  EXPECT_EQ(flow_scalar("1e-3"), "1e-3");
  EXPECT_EQ(flow_scalar("-2"), "-2");
  EXPECT_EQ(flow_scalar(""), "\"\"");
  EXPECT_EQ(flow_scalar("null"), "\"null\"");
  EXPECT_EQ(flow_scalar("~"), "\"~\"");
  EXPECT_EQ(flow_scalar("<|end|>"), "\"<|end|>\"");
  EXPECT_EQ(flow_scalar("a, b: \"c\"\n\x01"), "\"a, b: \\\"c\\\"\\n\\x01\"");
}

TEST(NumberText, IsShortAndExact) {
  EXPECT_EQ(number_text(0.1), "0.1");
  EXPECT_EQ(number_text(1e-8), "1e-8");
  EXPECT_EQ(number_text(1e20), "1e20");
  EXPECT_EQ(number_text(-2.5e-110), "-2.5e-110");
  EXPECT_EQ(number_text(4096), "4096");
  for (const double value : {1.0 / 3, 6.02214076e23, 5e-324, 1e100, 0.0003162278}) {
    EXPECT_EQ(std::strtod(number_text(value).c_str(), nullptr), value);
  }
}

TEST(NearestName, OneSlipIsFoundAndStrangersAreNot) {
  EXPECT_EQ(nearest_name("learning_rte", {"epochs", "learning_rate"}), "learning_rate");
  EXPECT_EQ(nearest_name("qqqq", {"epochs", "rank"}), "");
  EXPECT_EQ(nearest_name("ab", {"cd"}), "");
}

TEST(EnumWords, HaveNoPrefix) {
  EXPECT_THAT(enum_words(*config::OnOverlong_descriptor()),
              ElementsAre("error", "truncate", "drop"));
}

// Every preset parses and keeps the rules of a shape.
TEST(Presets, AllAreValid) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(share_directory() + "/presets")) {
    std::ifstream in(entry.path());
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    config::ModelConfig model;
    ASSERT_NO_THROW(parse_yaml(text, entry.path(), model)) << entry.path();
    EXPECT_TRUE(model.has_llama());
    ++count;
  }
  EXPECT_GE(count, 4);
}

}  // namespace
}  // namespace finescale
