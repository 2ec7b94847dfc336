// SPDX-License-Identifier: Apache-2.0
#include "worker/tool/score_tool.h"

#include <algorithm>
#include <memory>
#include <numeric>
#include <thread>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "configs/decoder.h"
#include "configs/method_shape.h"
#include "core/parallel.h"
#include "core/tensor_element.h"
#include "core/transfer.h"
#include "kernels/bias.h"
#include "kernels/cross_entropy.h"
#include "kernels/gemm.h"
#include "worker/eval/evaluate.h"
#include "worker/measured_model.h"
#include "worker/single_engine.h"
#include "worker/tool/adapted_model.h"
#include "worker/tool/score_data.h"
#include "worker/tool/tool_gpu.h"

namespace finescale {

namespace {

struct Score {
  std::vector<double> losses;  // [ids]; of what is not scored 0
  std::vector<std::pair<std::int32_t, double>> top;
};

// Examples [first, last) as one packed micro-batch: segments do not see each other.
MicroBatch pack(const std::vector<ScoredExample>& examples, std::size_t first, std::size_t last) {
  MicroBatch batch;
  batch.segments.push_back(0);
  for (std::size_t e = first; e < last; ++e) {
    const ScoredExample& example = examples[e];
    for (std::size_t t = 0; t < example.ids.size(); ++t) {
      const bool is_last = t + 1 == example.ids.size();
      const std::int32_t next = is_last ? kNotScored : example.labels[t + 1];
      batch.tokens.push_back(example.ids[t]);
      batch.labels.push_back(next == kNotScored ? kIgnoreLabel : next);
      batch.positions.push_back(static_cast<std::int32_t>(t));
      batch.num_labels += next == kNotScored ? 0 : 1;
    }
    batch.segments.push_back(static_cast<std::int32_t>(batch.tokens.size()));
    batch.examples.push_back(static_cast<std::int64_t>(e));
  }
  return batch;
}

class Scorer {
 public:
  Scorer(OpenedModel& model, int top, const std::string& device)
      : gpu_(gpu_for(model, device)),
        engine_(engine_on(single_, gpu_)),
        measured_(engine_, adapted_model(engine_, model)),
        top_(std::min(top, decoder_shape(model.config).vocab_size)) {}

  std::vector<Score> run(const std::vector<ScoredExample>& examples) {
    std::vector<Score> scores(examples.size());
    std::int64_t largest = kEvaluationTokens;
    for (const ScoredExample& example : examples) {
      largest = std::max(largest, static_cast<std::int64_t>(example.ids.size()));
    }
    for (std::size_t first = 0; first < examples.size();) {
      std::size_t last = first;
      std::size_t tokens = 0;
      while (last < examples.size() &&
             (last == first ||
              tokens + examples[last].ids.size() <= static_cast<std::size_t>(kEvaluationTokens))) {
        tokens += examples[last++].ids.size();
      }
      score(pack(examples, first, last), largest, scores);
      first = last;
    }
    return scores;
  }

 private:
  void score(const MicroBatch& batch, std::int64_t largest, std::vector<Score>& scores) {
    Transformer& model = *measured_.eval().pieces().front().model;
    TensorView computed;
    (void)model.forward_loss(batch, largest, &computed);
    const HostCopy losses(engine_.stream, computed, HostCopy::For::kReading);
    for (std::size_t s = 0; s < batch.examples.size(); ++s) {
      Score& score = scores[static_cast<std::size_t>(batch.examples[s])];
      score.losses.push_back(0);  // nothing stands in front of the first token
      for (std::int64_t t = batch.segments[s]; t + 1 < batch.segments[s + 1]; ++t) {
        score.losses.push_back(element(losses.view(), t));
      }
      if (top_ > 0) {
        score.top = top_logits(model, batch.segments[s + 1] - 1);
      }
    }
  }

  // Largest first; of equal ones the lower token.
  std::vector<std::pair<std::int32_t, double>> top_logits(const Transformer& model,
                                                          std::int64_t row) {
    const TensorView state = model.scored(model.tape()).row_range(row, row + 1);
    const TensorView& head = model.head().value;
    const AlignedBuffer memory(static_cast<std::size_t>(head.rows()) * dtype_size(state.dtype),
                               engine_.stream);
    const TensorView row_logits(memory.data(), state.dtype, Shape{1, head.rows()});
    gemm(engine_.stream, Transpose::kNo, Transpose::kYes, 1, state, head, 0, row_logits);
    if (const TensorView& bias = model.head().bias; !bias.empty()) {
      bias_add(engine_.stream, bias, row_logits);
    }
    const HostCopy copy(engine_.stream, row_logits, HostCopy::For::kReading);
    const TensorView& logits = copy.view();
    std::vector<std::int32_t> order(static_cast<std::size_t>(head.rows()));
    std::iota(order.begin(), order.end(), 0);
    std::partial_sort(order.begin(), order.begin() + top_, order.end(),
                      [&](std::int32_t a, std::int32_t b) {
                        const double x = element(logits, a);
                        const double y = element(logits, b);
                        return x > y || (x == y && a < b);
                      });
    std::vector<std::pair<std::int32_t, double>> top;
    for (int i = 0; i < top_; ++i) {
      const std::int32_t id = order[static_cast<std::size_t>(i)];
      top.emplace_back(id, element(logits, id));
    }
    return top;
  }

  SingleEngine single_;
  std::unique_ptr<Gpu> gpu_;
  Engine engine_;
  MeasuredModel measured_;
  int top_;
};

nlohmann::ordered_json example_json(const ScoredExample& example, const Score& score, bool with_top,
                                    double& total, std::int64_t& count) {
  nlohmann::ordered_json logprobs = nlohmann::ordered_json::array();
  double sum = 0;
  std::int64_t scored = 0;
  for (std::size_t t = 0; t < example.ids.size(); ++t) {
    const bool is_scored = t > 0 && example.labels[t] != kNotScored;
    logprobs.push_back(is_scored ? nlohmann::ordered_json(-score.losses[t]) : nullptr);
    sum += is_scored ? score.losses[t] : 0;
    scored += is_scored ? 1 : 0;
  }
  total += sum;
  count += scored;
  nlohmann::ordered_json json = {{"ids", example.ids}, {"logprobs", std::move(logprobs)}};
  json["loss"] = scored > 0 ? nlohmann::ordered_json(sum / static_cast<double>(scored)) : nullptr;
  if (with_top) {
    nlohmann::ordered_json& top = json["top"] = nlohmann::ordered_json::array();
    for (const auto& [id, logit] : score.top) {
      top.push_back({{"id", id}, {"logit", logit}});
    }
  }
  return json;
}

}  // namespace

std::string score_model(OpenedModel& model, const ScoreOptions& options) {
  set_num_threads(options.threads > 0 ? options.threads
                                      : static_cast<int>(std::thread::hardware_concurrency()));
  const DecoderShape shape = decoder_shape(model.config);
  const auto taken =
      model.adapter ? static_cast<int>(num_virtual_tokens(model.adapter->method)) : 0;
  const std::vector<ScoredExample> examples = read_score_data(
      options.data, model.tokenizer, model.rules, shape.vocab_size, shape.max_positions - taken);
  const std::vector<Score> scores = Scorer(model, options.top, options.device).run(examples);
  double total = 0;
  std::int64_t count = 0;
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (std::size_t i = 0; i < examples.size(); ++i) {
    all.push_back(example_json(examples[i], scores[i], options.top > 0, total, count));
  }
  nlohmann::ordered_json json;
  json["loss"] = count > 0 ? nlohmann::ordered_json(total / static_cast<double>(count)) : nullptr;
  json["tokens"] = count;
  json["examples"] = std::move(all);
  return json.dump(1);
}

}  // namespace finescale
