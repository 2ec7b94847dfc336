// SPDX-License-Identifier: Apache-2.0
// Prompt tuning (Lester et al. 2021): embeddings of P virtual tokens, which go through the layers
// in front of every example. What they become depends on nothing behind them, so one pass of them
// serves all examples of a micro-batch. Whole on every rank that has the embedding.
#include <algorithm>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/random.h"
#include "core/tensor_element.h"
#include "sharding/ordered_reduce.h"
#include "worker/methods/virtual_tokens.h"

namespace finescale {

namespace {

// Rows of the embedding, row-major in double precision. Collective over the shard and the tensor
// group.
std::vector<double> rows_of(const MethodInput& input, const std::vector<std::int64_t>& ids) {
  const BaseWeights& base = input.base;
  const int table = input.layout->embedding().first;
  const LocalPart& part = base.set->part(table);
  const std::int64_t width = part.shape[1];
  std::vector<double> rows(ids.size() * static_cast<std::size_t>(width));
  base.for_each({table}, [&](int tensor) {
    const TensorView values = base.value(tensor);
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const std::int64_t row = ids[i] - part.offset[0];
      for (std::int64_t c = 0; row >= 0 && row < part.shape[0] && c < width; ++c) {
        rows[i * static_cast<std::size_t>(width) + static_cast<std::size_t>(c)] =
            element(values, row * width + c);
      }
    }
  });
  if (base.tensor != nullptr) {  // one rank has a row, the others add zeros
    ordered_all_reduce(*base.tensor, TensorView(rows.data(), DType::kF64, {std::ssize(rows)}));
  }
  return rows;
}

class PromptTuning final : public VirtualTokenMethod {
 public:
  PromptTuning(const config::PromptTuning& config, const MethodInput& input)
      : VirtualTokenMethod(input), config_(config) {
    const ModelLayout& layout = *input.layout;
    set_.begin_unit();
    if (layout.part().has_embedding) {
      tensor_ = set_.declare("model.embed_prompt/E",
                             {config.num_virtual_tokens(), layout.shape().hidden_size});
    }
    prompt_.trains = true;
    bind(allocate(*input.base.set), &Weight::value);
    if (tensor_ >= 0 && input.is_fresh) {
      begin(input);
    }
  }

  [[nodiscard]] ModelAdapters adapters() const override {
    ModelAdapters all;
    all.virtual_tokens = {config_.num_virtual_tokens(), true, tensor_ < 0 ? nullptr : &prompt_};
    return all;
  }

 private:
  void bind(const UnitBlocks& blocks, TensorView Weight::*place) override {
    if (tensor_ >= 0) {
      prompt_.*place = set_.view_in(blocks, tensor_);
    }
  }

  void begin(const MethodInput& input) {
    if (config_.prompt_tuning_init() == config::PROMPT_TUNING_INIT_RANDOM) {
      fill_normal(input.seed, tensor_);
      return;
    }
    const std::vector<double> rows = rows_of(input, first_ids(input));
    const TensorView view = set_.view(tensor_);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      set_element(view, static_cast<std::int64_t>(i), rows[i]);
    }
  }

  // Those of a text are repeated or cut.
  [[nodiscard]] std::vector<std::int64_t> first_ids(const MethodInput& input) const {
    const int vocab = input.layout->shape().vocab_size;
    std::vector<std::int64_t> ids;
    if (config_.prompt_tuning_init() == config::PROMPT_TUNING_INIT_SAMPLE_VOCAB) {
      Random random(static_cast<std::uint64_t>(input.seed), Purpose::kAdapter,
                    name_stream(set_.tensor(tensor_).name));
      for (int i = 0; i < config_.num_virtual_tokens(); ++i) {
        ids.push_back(static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(vocab))));
      }
      return ids;
    }
    if (config_.prompt_tuning_init_ids().empty()) {
      throw Error(ErrorKind::kConfig, "no tokens are given for the virtual tokens to begin with",
                  "train.method.prompt_tuning",
                  "give prompt_tuning_init_text, or prompt_tuning_init_ids");
    }
    for (int i = 0; i < config_.num_virtual_tokens(); ++i) {
      const int id = config_.prompt_tuning_init_ids(i % config_.prompt_tuning_init_ids_size());
      if (id >= vocab) {
        throw Error(ErrorKind::kConfig,
                    "prompt_tuning_init_ids has " + std::to_string(id) + ", the model has " +
                        std::to_string(vocab) + " tokens",
                    "train.method.prompt_tuning.prompt_tuning_init_ids");
      }
      ids.push_back(id);
    }
    return ids;
  }

  config::PromptTuning config_;
  int tensor_ = -1;  // none: the embedding is elsewhere
  Weight prompt_;
};

}  // namespace

std::unique_ptr<Method> make_prompt_tuning(const config::PromptTuning& config,
                                           const MethodInput& input) {
  return std::make_unique<PromptTuning>(config, input);
}

}  // namespace finescale
