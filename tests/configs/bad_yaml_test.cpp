// SPDX-License-Identifier: Apache-2.0
// What a user sees for wrong input: file, line, column and message, letter for letter.
#include <string>

#include <gtest/gtest.h>

#include "configs/canonical.h"
#include "tests/configs/bad_yaml_fixture.h"

namespace finescale {
namespace {

TEST_F(BadYaml, TheUnchangedSweepIsAccepted) {
  EXPECT_EQ(error_of(valid()), std::string());
}

TEST_F(BadYaml, KeysAndKinds) {
  expect({
      {1, "nam: words", "sweep.yaml:1:1: unknown key nam, did you mean name?"},
      {1, "name: words\nname: more", "sweep.yaml:2:1: key name is given twice"},
      {1, "name:", "sweep.yaml:2:1: name is empty, must be a string"},
      {1, "name: [a, b]", "sweep.yaml:1:7: name is a list, must be a string"},
      {1, "name: two words",
       "sweep.yaml:1:7: name is \"two words\", must be letters, digits, - and _"},
      {1, "zzzzzzzz: 1", "sweep.yaml:1:1: unknown key zzzzzzzz"},
      {1, "# no name", "sweep.yaml:2:1: name is missing"},
      {9, "  max_lenght: 64",
       "sweep.yaml:9:3: unknown key data.max_lenght, did you mean max_length?"},
      {12, "    - train: {method: lara}",
       "sweep.yaml:12:23: trial.stages[0].train.method is \"lara\", must be one of full, lora, "
       "dora, allora, ia3, selective, bitfit, qlora, lift, vera, bottleneck, "
       "prompt_tuning, prefix_tuning, did you mean lora?"},
      {12, "    - train: {method: {lora: {rnak: 4}}}",
       "sweep.yaml:12:31: unknown key trial.stages[0].train.method.lora.rnak, did you mean rank?"},
      {12, "    - train: {method: {full: {}, lora: {}}}",
       "sweep.yaml:12:34: trial.stages[0].train.method.lora excludes "
       "trial.stages[0].train.method.full: give one of them"},
      {12, "    - train: {method: 4}",
       "sweep.yaml:12:23: trial.stages[0].train.method is \"4\", must be one of full, lora, "
       "dora, allora, ia3, selective, bitfit, qlora, lift, vera, bottleneck, "
       "prompt_tuning, prefix_tuning"},
      {12, "    - train: {method: [lora]}",
       "sweep.yaml:12:23: trial.stages[0].train.method is a list, must be a mapping"},
      {12, "    - train: {batch: {tokens: 4, examples: 4}}",
       "sweep.yaml:12:34: trial.stages[0].train.batch.examples excludes "
       "trial.stages[0].train.batch.tokens: give one of them"},
      {12, "    - train: 4", "sweep.yaml:12:14: trial.stages[0].train is \"4\", must be a mapping"},
      {12, "    - trian: {}",
       "sweep.yaml:12:7: unknown key trial.stages[0].trian, did you mean train?"},
      {12, "    - {name: x}", "sweep.yaml:12:7: trial.stages[0] has no kind"},
      {14, "axes: [1]\nignored: {", "sweep.yaml:17:3: not valid YAML: end of map flow not found"},
      {14, "axes: [1]\nresources:", "sweep.yaml:14:7: axes is a list, must be a mapping"},
      {6, "data: {train: train.jsonl}\ndata2:",
       "sweep.yaml:7:1: unknown key data2, did you mean data?"},
      {3, "  preset: tiny\n  ? [a]\n  : b", "sweep.yaml:4:5: a key is a list, must be a word"},
      {1, "name: a\n---\nname: b",
       "sweep.yaml: the text holds several YAML documents, must be one"},
      {1, ", name: a", "sweep.yaml:1:1: not valid YAML: no value begins with this character"},
      {1, "name: a\n]", "sweep.yaml:2:1: not valid YAML: illegal flow end"},
      {1, "name: \"a\" b", "sweep.yaml:1:11: not valid YAML: end of map not found"},
      {1, "name: &a [*a]", "sweep.yaml:1:7: name is a list, must be a string"},
  });
}

TEST_F(BadYaml, ValuesAndRanges) {
  expect({
      {9, "  max_length: 1", "sweep.yaml:9:15: data.max_length is 1, must be >= 2"},
      {9, "  max_length: abc",
       "sweep.yaml:9:15: data.max_length is \"abc\", must be a whole number"},
      {9, "  max_length: 64.5", "sweep.yaml:9:15: data.max_length is 64.5, must be a whole number"},
      {9, "  max_length: {a: 1}",
       "sweep.yaml:9:15: data.max_length is a mapping, must be a whole number"},
      {9, "  max_length:", "sweep.yaml:10:1: data.max_length is empty, must be a whole number"},
      {9, "  max_length: 3000000000",
       "sweep.yaml:9:15: data.max_length is 3000000000, must be <= 2147483647"},
      {9, "  max_length: 64\n  on_overlong: dorp",
       "sweep.yaml:10:16: data.on_overlong is \"dorp\", must be one of error, truncate, drop, did "
       "you mean drop?"},
      {9, "  max_length: 64\n  eval_fraction: 1",
       "sweep.yaml:10:18: data.eval_fraction is 1, must be >= 0 and < 1"},
      {12, "    - train: {method: {lora: {rank: 0}}}",
       "sweep.yaml:12:37: trial.stages[0].train.method.lora.rank is 0, must be >= 1 and <= 4096"},
      {12, "    - train: {learning_rate: 0}",
       "sweep.yaml:12:30: trial.stages[0].train.learning_rate is 0, must be > 0 and <= 10"},
      {12, "    - train: {learning_rate: .inf}",
       "sweep.yaml:12:30: trial.stages[0].train.learning_rate is \".inf\", must be a number"},
      {12, "    - train: {learning_rate: 1e-3x}",
       "sweep.yaml:12:30: trial.stages[0].train.learning_rate is \"1e-3x\", must be a number"},
      {12, "    - train: {betas: [0.9, 1]}",
       "sweep.yaml:12:28: trial.stages[0].train.betas[1] is 1, must be >= 0 and < 1"},
      {12, "    - train: {epochs: -1}",
       "sweep.yaml:12:23: trial.stages[0].train.epochs is -1, must be > 0"},
      {12, "    - train: {precision: f16}",
       "sweep.yaml:12:26: trial.stages[0].train.precision is \"f16\", must be one of f32, f64, "
       "bf16, did you mean bf16?"},
      {3, "  preset: tiny\n  architecture: {llama: {tie_embeddings: yes}}",
       "sweep.yaml:4:42: base.architecture.llama.tie_embeddings is \"yes\", must be true or false"},
      {16, "  seed: &a [1, *a]", "sweep.yaml:16:9: the value is nested too deeply"},
      {16, "  seed: [1, -2]", "sweep.yaml:16:13: seed is -2, must be >= 0"},
      {16, "  seed: [1, 99999999999999999999]",
       "sweep.yaml:16:13: seed is 99999999999999999999, must be <= 9223372036854775807"},
  });
}

TEST_F(BadYaml, RulesBetweenFields) {
  expect({
      {2, "base:\n  model: there",
       "sweep.yaml:3:3: base must give either model or preset (or architecture)"},
      {3, "  tokenizer: {train: {}}", "sweep.yaml:4:3: key base.tokenizer is given twice"},
      {3, "  preset: tyni", "sweep.yaml:3:11: no preset tyni, did you mean tiny?"},
      {4, "  tokenizer: missing.json",
       "sweep.yaml:4:14: base.tokenizer: DIR/missing.json does not exist"},
      {4, "  tokenizer: {train: {vocab_size: 1000}}",
       "sweep.yaml:4:35: base.tokenizer.train.vocab_size is 1000, must be <= vocab_size of the "
       "model (512)"},
      {5, "  pretrain: {data: none.jsonl}",
       "sweep.yaml:5:20: base.pretrain.data.path: DIR/none.jsonl does not exist"},
      {5, "  pretrain: {data: texts.jsonl, train: {method: lora}}",
       "sweep.yaml:5:49: base.pretrain.train.method must be full"},
      {5, "  # no pretraining",
       "sweep.yaml:4:14: base.tokenizer.train needs base.pretrain: it is trained on the "
       "pretraining text"},
      {3, "  preset: tiny\n  architecture: {llama: {num_heads: 5}}",
       "sweep.yaml:4:25: base.architecture.llama.num_heads is 5, must be a multiple of "
       "num_kv_heads (4)"},
      {3, "  preset: tiny\n  architecture: {llama: {num_kv_heads: 3}}",
       "sweep.yaml:4:40: base.architecture.llama.num_heads is 4, must be a multiple of "
       "num_kv_heads (3)"},
      {3, "  preset: tiny\n  architecture: {llama: {head_dim: 7}}",
       "sweep.yaml:4:36: base.architecture.llama.head_dim is 7, must be even for rotary positions"},
      {9, "  max_length: 4096",
       "sweep.yaml:9:15: data.max_length is 4096, must be <= max_positions of the model (2048)"},
      {7, "  train: [train.jsonl, more.jsonl]",
       "sweep.yaml:7:10: data.train.path: DIR/more.jsonl does not exist"},
      {7, "  limit: 3", "sweep.yaml:7:3: unknown key data.limit"},
      {8, "  eval: [{name: a, path: eval.jsonl}, {name: a, path: eval.jsonl}]",
       "sweep.yaml:8:46: data.eval[1].name: two eval sets are called a"},
      {8, "  eval: [{name: a.b, path: eval.jsonl}]",
       "sweep.yaml:8:17: data.eval[0].name is \"a.b\", must be letters, digits, - and _"},
      {8, "  eval: [{name: held_out}]",
       "sweep.yaml:8:10: data.eval[0]: eval set held_out has no path, task or data, and "
       "data.eval_fraction is 0"},
      {9, "  eval_fraction: 0.1",
       "sweep.yaml:9:18: data.eval_fraction holds examples out, but no eval set without a path "
       "uses them"},
      {8, "  eval: [{name: held_out, path: train.jsonl}]\n  overlap: error",
       "sweep.yaml:9:12: 20 examples of eval set held_out are in data.train too, the first at "
       "DIR/train.jsonl:1"},
      {8, "  # no eval", "sweep.yaml:13:7: trial.stages[1].evaluate needs data.eval"},
      {12, "    - train: {steps: 5, tokens: 100}",
       "sweep.yaml:12:33: trial.stages[0].train.tokens excludes trial.stages[0].train.steps: give "
       "one of them"},
      {12, "    - train: {steps: 5, epochs: 2}",
       "sweep.yaml:12:33: trial.stages[0].train.epochs excludes steps and tokens: give one of "
       "them"},
      {12, "    - train: {steps: 5, warmup: 6}",
       "sweep.yaml:12:33: trial.stages[0].train.warmup.steps is 6, must be <= steps (5)"},
      {12, "    - train: {keep: best}",
       "sweep.yaml:12:21: trial.stages[0].train.keep is best, which needs eval_every"},
      {12, "    - train: {betas: [0.9]}",
       "sweep.yaml:12:22: trial.stages[0].train.betas has 1 values, must have 2"},
      {12, "    - train: {method: {dora: {target_modules: [q_porj]}}}",
       "sweep.yaml:12:47: trial.stages[0].train.method.dora.target_modules: unknown q_porj, did "
       "you mean q_proj?"},
      {12, "    - train: {method: {lora: {rank: 65}}}",
       "sweep.yaml:12:37: trial.stages[0].train.method.lora.rank is 65, must be <= 64, the smaller "
       "side of q_proj"},
      {12, "    - train: {method: {full: {last_layers: 3}}}",
       "sweep.yaml:12:44: trial.stages[0].train.method.full.last_layers is 3, must be <= 2, the "
       "model's layers"},
      {12, "    - train: {method: {prompt_tuning: {num_virtual_tokens: 2040}}}",
       "sweep.yaml:12:60: trial.stages[0].train.method.prompt_tuning.num_virtual_tokens is 2040, "
       "with data.max_length 64 more than the model's 2048 positions"},
      {12, "    - train: {method: {prompt_tuning: {prompt_tuning_init: text}}}",
       "sweep.yaml:12:60: trial.stages[0].train.method.prompt_tuning.prompt_tuning_init: text has "
       "no text"},
      {12, "    - train: {method: {prompt_tuning: {prompt_tuning_init_text: hello}}}",
       "sweep.yaml:12:65: trial.stages[0].train.method.prompt_tuning.prompt_tuning_init_text needs "
       "prompt_tuning_init: text"},
      {12,
       "    - train: {method: {prompt_tuning: {prompt_tuning_init: text, prompt_tuning_init_ids: "
       "[1, 600]}}}",
       "sweep.yaml:12:94: trial.stages[0].train.method.prompt_tuning.prompt_tuning_init_ids: 600, "
       "must be < 512, the model's tokens"},
      {12, "    - train: {method: {prefix_tuning: {encoder_hidden_size: 8}}}",
       "sweep.yaml:12:61: trial.stages[0].train.method.prefix_tuning.encoder_hidden_size needs "
       "prefix_projection: true"},
      {12, "    - train: {method: {selective: {parameters: [q_prj]}}}",
       "sweep.yaml:12:49: trial.stages[0].train.method.selective.parameters: the model has no "
       "tensor q_prj, "
       "did you mean model.layers.0.self_attn.q_proj.weight?"},
      {12, "    - train: {method: {selective: {parameters: [v_proj, mlp.up_proj.wieght]}}}",
       "sweep.yaml:12:57: trial.stages[0].train.method.selective.parameters: the model has no "
       "tensor "
       "mlp.up_proj.wieght, did you mean model.layers.0.mlp.up_proj.weight?"},
      {12, "    - train: {method: {selective: {parameters: [model.norm], layers: [1]}}}",
       "sweep.yaml:12:49: trial.stages[0].train.method.selective.parameters: the model has no "
       "tensor "
       "model.norm, did you mean model.norm.weight?"},
      {12, "    - train: {method: {selective: {layers: [0, 2]}}}",
       "sweep.yaml:12:48: trial.stages[0].train.method.selective.layers: 2, must be < 2, the "
       "model's layers"},
      {12, "    - train: {method: bitfit}",
       "sweep.yaml:12:23: trial.stages[0].train.method.bitfit: the model has no biases"},
      {12, "    - train: {optimizer: {lino: {}}}",
       "sweep.yaml:12:27: unknown key trial.stages[0].train.optimizer.lino, did you mean lion?"},
      {12, "    - train: {optimizer: lion, betas: [0.9, 0.99]}",
       "sweep.yaml:12:39: trial.stages[0].train.betas is of adamw, but "
       "trial.stages[0].train.optimizer is another rule"},
      {12, "    - train: {optimizer: sgd, optimizer_state: bf16}",
       "sweep.yaml:12:48: trial.stages[0].train.optimizer_state is of adamw, but "
       "trial.stages[0].train.optimizer is another rule"},
      {12, "    - train: {optimizer: {sgd: {nesterov: true}}}",
       "sweep.yaml:12:43: trial.stages[0].train.optimizer.sgd.nesterov needs momentum"},
      {12, "    - train: {method: {lora: {target_modules: [q_porj]}}}",
       "sweep.yaml:12:47: trial.stages[0].train.method.lora.target_modules: unknown q_porj, did "
       "you mean q_proj?"},
      {12, "    - train: {}\n      name: a\n    - train: {}\n      name: a",
       "sweep.yaml:15:13: trial.stages[1].name: two stages are called a"},
      {12, "    - train: {}\n      name: data",
       "sweep.yaml:13:13: trial.stages[0].name is data, which means something else in paths"},
      {12, "    - train: {}\n      from: [other]",
       "sweep.yaml:13:14: trial.stages[0].from: no earlier stage is called other"},
      {12, "    - train: {method: lora}\n    - train: {}",
       "sweep.yaml:13:14: trial.stages[1].train starts from an adapter, which is not in this "
       "version"},
      {13, "    - evaluate: {metrics: [los]}",
       "sweep.yaml:13:27: trial.stages[1].evaluate.metrics: unknown los, did you mean loss?"},
      {12, "    # no training", "sweep.yaml:13:5: trial.stages: no stage trains"},
  });
}

TEST_F(BadYaml, Chains) {
  expect({
      {13, "    - evaluate: {}\n      from: [later]\n    - {name: later, generate: {}}",
       "sweep.yaml:14:14: trial.stages[1].from: later comes later"},
      {13, "    - {name: own, generate: {}, from: [train, own]}",
       "sweep.yaml:13:47: trial.stages[1].from: the stage reads itself"},
      {13,
       "    - {name: next, train: {objective: {distill: {teacher: later}}}}\n    - {name: later, "
       "evaluate: {}}",
       "sweep.yaml:13:59: trial.stages[1].train.objective.distill.teacher: later comes later"},
      {13, "    - {name: next, train: {objective: {distill: {teacher: next}}}}",
       "sweep.yaml:13:59: trial.stages[1].train.objective.distill.teacher: the stage reads itself"},
      {13, "    - {name: next, train: {objective: {distill: {teacher: trian}}}}",
       "sweep.yaml:13:59: trial.stages[1].train.objective.distill.teacher: no earlier stage is "
       "called trian, did you mean "
       "train?"},
      {13,
       "    - {name: seen, evaluate: {}}\n    - {name: next, train: {objective: {distill: "
       "{teacher: seen}}}}",
       "sweep.yaml:14:59: trial.stages[2].train.objective.distill.teacher: seen leaves no model"},
      {13, "    - {name: next, from: [base], train: {objective: {distill: {teacher: ./none}}}}",
       "sweep.yaml:13:73: trial.stages[1].train.objective.distill.teacher: DIR/none does not "
       "exist"},
      {13, "    - {generate: {}, from: [trian]}",
       "sweep.yaml:13:29: trial.stages[1].from: no earlier stage is called trian, did you mean "
       "train?"},
      {13, "    - {generate: {}, from: [base, base, base]}",
       "sweep.yaml:13:41: trial.stages[1].from: more than two inputs"},
      {13, "    - select: {loss: {to: 0.5}}",
       "sweep.yaml:13:22: trial.stages[1].select.loss: nothing measured losses"},
      {13, "    - select: {verified: {}}",
       "sweep.yaml:13:26: trial.stages[1].select.verified: there are no answers to verify"},
      {13, "    - select: {pairs: {}}",
       "sweep.yaml:13:23: trial.stages[1].select.pairs: there are no answers to pair"},
      {13, "    - select: {length: {from: 0.5, to: 0.5}}",
       "sweep.yaml:13:24: trial.stages[1].select.length.from must be below "
       "trial.stages[1].select.length.to"},
      {13, "    - generate: {data_budget: 5, samples: 2}\n    - select: {random: 11}",
       "sweep.yaml:14:24: trial.stages[2].select.random.examples is 11, but its input has at most "
       "10"},
      {13,
       "    - generate: {samples: 2}\n    - {name: again, from: [base, generate], train: "
       "{objective: dpo}}",
       "sweep.yaml:14:64: trial.stages[2].train.objective learns from pairs, and its data are "
       "none"},
      {13,
       "    - generate: {data_budget: 5}\n    - {name: again, from: [base, generate], train: "
       "{data_budget: 6}}",
       "sweep.yaml:14:66: trial.stages[2].train.data_budget is 6, but its data have at most 5 "
       "examples"},
      {13, "    - score: {}\n    - select: {random: 21}",  // files have 20
       "sweep.yaml:14:24: trial.stages[2].select.random.examples is 21, but its input has at most "
       "20"},
      {13, "    - {name: again, from: [base], train: {objective: dpo}}",
       "sweep.yaml:13:54: trial.stages[1].train.objective learns from pairs, and its data are "
       "none"},
  });
}

TEST_F(BadYaml, ListsOfWordsAreChecked) {
  expect({
      {7, "  train: {task: {nupa: {formats: [integer, flaot]}}}",
       "sweep.yaml:7:44: data.train.task.nupa.formats[1] is \"flaot\", must be one of integer, "
       "float, fraction, scientific, did you mean float?"},
  });
  const config::Sweep sweep =
      load(with_line(7, "  train: {task: {nupa: {formats: [fraction, float]}}}"));
  const std::string text = canonical_text(sweep.data().train().task().nupa());
  EXPECT_TRUE(text.find("formats: NUMBER_FORMAT_FRACTION\nformats: NUMBER_FORMAT_FLOAT\n") !=
              std::string::npos)
      << text;
  config::Nupa again;
  parse_canonical(text, again);
  EXPECT_EQ(again.formats_size(), 2);
}

TEST_F(BadYaml, TasksAndVerifiers) {
  expect({
      {7, "  train: {task: chian}",
       "sweep.yaml:7:17: data.train.task is \"chian\", must be one of chain, edit, nupa, recall, "
       "facts, guard, cls, langs, did you mean chain?"},
      {7, "  train: {task: chain, path: train.jsonl}",
       "sweep.yaml:7:10: data.train must give one of path, task, from, stage and mix"},
      {7, "  train: {limit: 4}",
       "sweep.yaml:7:10: data.train must give one of path, task, from, stage and mix"},
      {7, "  train: {task: {chain: {modulus: 1}}}",
       "sweep.yaml:7:35: data.train.task.chain.modulus is 1, must be >= 2 and <= 1000"},
      {7, "  train: {task: {examples: 5}}", "sweep.yaml:7:17: data.train.task has no kind"},
      {7, "  train: {task: {chain: {}, examples: 9}}",
       "sweep.yaml:15:26: trial.stages[0].train.data_budget is 10, but its data have at most 9 "
       "examples"},
      {13, "    - evaluate: {metrics: [accuracy]}",
       "sweep.yaml:13:27: trial.stages[1].evaluate.metrics: accuracy needs a verifier, and eval "
       "set "
       "held_out is drawn from no one task"},
  });
}

TEST_F(BadYaml, Contrasts) {
  const std::string begin = "  seed: [1, 2]\ncontrasts:\n  - {name: c, metric: held_out.loss, ";
  const auto error = [&](const std::string& rest) { return error_of(with_line(16, begin + rest)); };
  const std::string arms = "difference: {of: {train.data_budget: 5}, to: {train.data_budget: 10}}";
  EXPECT_EQ(error(arms + "}"), "");
  EXPECT_EQ(error(arms + ", expect: \"< -0.5\", at: {seed: [1, 2]}}"), "");
  const auto expect_end = [&](const std::string& rest, const std::string& end) {
    const std::string found = error(rest);
    EXPECT_TRUE(found.ends_with(end)) << found;
    EXPECT_TRUE(found.starts_with("sweep.yaml:18:")) << found;
  };
  expect_end("expect: \"> 0\"}", "contrasts[0] has no kind");
  expect_end("difference: {of: {train.data_budget: 5}, to: {seed: 1}}}",
             "contrasts[0].difference: both arms must name the same axes");
  expect_end("difference: {of: {train.data_budget: 5}, to: {train.data_budget: 7}}}",
             "the axis has no value 7");
  expect_end("difference: {of: {train.epochs: 1}, to: {train.epochs: 2}}}",
             "train.epochs is no axis");
  expect_end("difference: {of: {seed: 1}, to: {seed: 2}}}",
             "contrasts[0].difference: trials are paired by seed");
  expect_end(arms + ", expect: better}",
             "contrasts[0].expect is \"better\", must be > number or < number");
  expect_end(arms + ", margin: 1}", "contrasts[0].margin is of equivalent, which needs it");
  expect_end(arms + ", best_over: [train.data_budget]}",
             "train.data_budget is no axis beside those of the arms");
  EXPECT_NE(error_of(with_line(16, "  seed: [1]\ncontrasts: [{name: c, metric: held_out.los, " +
                                       arms + "}]"))
                .find("which no stage measures, did you mean held_out.loss?"),
            std::string::npos);
}

TEST_F(BadYaml, AxesTuningLawsAndResources) {
  expect({
      {15, "  train.data_budgets: [5, 10]",
       "sweep.yaml:15:3: no field train.data_budgets, did you mean train.data_budget?"},
      {15, "  trian.data_budget: [5, 10]",
       "sweep.yaml:15:3: no field trian.data_budget, did you mean trial?"},
      {15, "  train.data_budget: [5, 5]",
       "sweep.yaml:15:26: axes.train.data_budget has the value 5 twice"},
      {15, "  train.data_budget: [5, many]",
       "sweep.yaml:15:26: train.data_budget is \"many\", must be a whole number"},
      {15, "  train.data_budget: [5, 25]",
       "sweep.yaml:15:26: trial.stages[0].train.data_budget is 25, but data.train has 20 examples"},
      {15, "  train.data_budget: {geometric: {from: 5, to: 5, points: 3}}",
       "sweep.yaml:15:3: train.data_budget: from is 5, must be < to, which is 5"},
      {15, "  train.data_budget: {geometric: {from: 1, to: 3, points: 6}}",
       "sweep.yaml:15:3: train.data_budget has the value 1 twice after rounding"},
      {15, "  train.data_budget: {geometric: {from: 1, to: 3}}",
       "sweep.yaml:15:34: axes.train.data_budget.geometric.points is missing"},
      {15, "  train.data_budget: {}",
       "sweep.yaml:15:3: axes.train.data_budget must be a list of values, {geometric: ...} or "
       "{linear: ...}"},
      {15, "  train.betas: [[0.9, 0.99]]",
       "sweep.yaml:15:3: train.betas is a list, which cannot be varied"},
      {15, "  train.method: [full, {lora: {rank: 0}}]",
       "sweep.yaml:15:24: train.method.lora.rank is 0, must be >= 1 and <= 4096"},
      {15, "  train.method: [full, {}]",
       "sweep.yaml:15:24: train.method is empty, must be one of its kinds"},
      {15, "  train.schedule.wsd.decay: [0.1, 0.2]\n  train.schedule: [linear]",
       "sweep.yaml:15:3: train.schedule.wsd.decay cannot be set: train.schedule is linear"},
      {15, "  train.method.lora.rank: [4, 8]\n  train.method: [lora, full]",
       "sweep.yaml:16:24: train.method.lora.rank cannot be set: train.method is full"},
      {15, "  train.keep: [last, best]",
       "sweep.yaml:15:22: trial.stages[0].train.keep is best, which needs eval_every"},
      {15, "  data.max_length: [32, 99999]",
       "sweep.yaml:15:25: data.max_length is 99999, must be <= max_positions of the model (2048)"},
      {15, "  base.preset: [tiny, huge]", "sweep.yaml:15:23: no preset huge"},
      {16, "search: {random: {trials: 5}}",
       "sweep.yaml:16:27: search.random.trials is 5, but the axes have 2 points"},
      {16, "search: {halving: {}}",
       "sweep.yaml:16:19: search.halving goes on from the trunk of a smaller budget, and train "
       "leaves none: the rate depends on the length of the run from the first step on; schedule: "
       "wsd would share"},
      {16, "search: {asha: {budget: train.epochs}}",
       "sweep.yaml:16:25: search.asha needs an axis of data budgets, and train.epochs is none"},
      {16, "search: {halving: {per: [train.method]}}",
       "sweep.yaml:16:25: search.halving.per: train.method is no axis beside the budgets"},
      {16, "search: {tpe: {trials: 3, metric: held_out.los}}",
       "sweep.yaml:16:35: search.tpe.metric is \"held_out.los\", which no stage measures, did you "
       "mean held_out.loss?"},
      {16, "search: {tpe: {trials: 3}}\ntune: {fields: [train.epochs], metric: held_out.loss}",
       "sweep.yaml:17:7: tune excludes search.tpe: both decide by results"},
      {16, "tune: {fields: [train.learning_rate], metric: held_out.los}",
       "sweep.yaml:16:47: tune.metric is \"held_out.los\", which no stage measures, did you mean "
       "held_out.loss?"},
      {16, "tune: {fields: [train.data_budget], metric: held_out.loss}",
       "sweep.yaml:16:16: tune.fields: train.data_budget is an axis already"},
      {16, "tune: {fields: [train.learning_rat], metric: held_out.loss}",
       "sweep.yaml:16:16: no field train.learning_rat, did you mean train.learning_rate?"},
      {16, "tune: {fields: [train.method], metric: held_out.loss}",
       "sweep.yaml:16:16: train.method is {lora: {rank: 4}}, must be a number > 0 to tune it"},
      {16, "tune: {fields: [train.epochs], per: [seed], metric: held_out.loss}",
       "sweep.yaml:16:37: tune.per: seed is no axis"},
      {16, "tune: {fields: [train.epochs], at: {seed: 2}, metric: held_out.loss}",
       "sweep.yaml:16:37: tune.at.seed is no axis"},
      {16, "tune: {fields: [train.epochs], seeds: 3, metric: held_out.loss}",
       "sweep.yaml:16:39: tune.seeds is 3, but the axis seed has 0 values"},
      {16,
       "tune: {fields: [train.epochs], metric: held_out.loss, trials: 3,\n"
       "  geometric: {from: 1, to: 2, points: 4}}",
       "sweep.yaml:16:63: tune.trials is 3, must equal tune.geometric.points (4)"},
      {16, "laws: {metric: eval.loss}",
       "sweep.yaml:16:16: laws.metric is \"eval.loss\", which no stage measures"},
      {16, "laws: {forms: [powr]}",
       "sweep.yaml:16:15: laws.forms: unknown powr, did you mean power?"},
      {16, "laws: {per: [metod]}",
       "sweep.yaml:16:13: laws.per: no field metod, did you mean method?"},
      {16, "laws: {target: {held_out.exact_match: 1}}",
       "sweep.yaml:16:17: laws.target.held_out.exact_match is \"held_out.exact_match\", which no "
       "stage measures"},
      {16, "mesh: {data: 2}\nresources: {ranks_per_gang: 3}",
       "sweep.yaml:17:29: resources.ranks_per_gang is 3, must equal the ranks of the mesh (2)"},
  });
}

TEST_F(BadYaml, OverridesAreNamed) {
  EXPECT_EQ(error_of(valid(), {{"train.method.lora.rank", "0"}}),
            "--set train.method.lora.rank: train.method.lora.rank is 0, must be >= 1 and <= 4096");
  EXPECT_EQ(error_of(valid(), {{"train.methods", "full"}}),
            "--set train.methods: no field train.methods, did you mean train.method?");
  EXPECT_EQ(error_of(valid(), {{"train.keep", "best"}}),
            "--set train.keep: trial.stages[0].train.keep is best, which needs eval_every");
  EXPECT_EQ(error_of(valid(), {{"axes.seed", "[1, x]"}}),
            "--set axes.seed: seed is \"x\", must be a whole number");
}

}  // namespace
}  // namespace finescale
