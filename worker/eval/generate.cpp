// SPDX-License-Identifier: Apache-2.0
#include "worker/eval/generate.h"

#include <algorithm>
#include <memory>
#include <optional>

#include "core/error.h"
#include "core/parallel.h"
#include "worker/eval/device_sampler.h"
#include "worker/eval/piece_decoders.h"
#include "worker/eval/sequence.h"

namespace finescale {

namespace {

// The sequences that are under way, each in a numbered slot that the next prompt takes over.
class Generation {
 public:
  Generation(EvalModel& model, const std::vector<std::vector<std::int32_t>>& prompts,
             const GenerationOptions& options, const Tokenizer* tokenizer,
             const GenerationHooks& hooks)
      : prompts_(prompts),
        options_(options),
        tokenizer_(tokenizer),
        hooks_(hooks),
        shape_(&model.pieces().front().model->layout().shape()),
        positions_(model.pieces().front().model->num_positions()),
        answers_(prompts.size()) {
    std::int64_t longest = 0;
    for (const auto& prompt : prompts) {
      FS_CHECK(!prompt.empty(), "a prompt has at least one token");
      longest = std::max(longest, static_cast<std::int64_t>(prompt.size()));
    }
    const auto sequences = std::min(options.batch, static_cast<std::int64_t>(prompts.size()));
    slots_.resize(static_cast<std::size_t>(sequences));
    rows_ = std::max(sequences, std::min(options.rows, sequences * longest));
    decoders_ = std::make_unique<PieceDecoders>(
        model, DecoderLimits{.rows = rows_,
                             .outputs = sequences,
                             .sequences = static_cast<int>(sequences),
                             .positions = std::min(longest + options.max_new, positions_)});
  }

  std::vector<Generated> run() {
    for (;;) {
      const bool stop = hooks_.interrupted && hooks_.interrupted();
      fill_slots();
      if (stop) {
        interrupt();
      }
      if (!make_batch()) {
        return std::move(answers_);
      }
      next_.resize(batch_.outputs.size());
      decoders_->step(
          batch_, [this](Decoder& last, std::span<std::int32_t> next) { pick(last, next); }, next_);
      for (std::size_t i = 0; i < next_.size(); ++i) {
        take(outputs_[i], next_[i]);
      }
    }
  }

 private:
  void fill_slots() {
    for (std::unique_ptr<Sequence>& slot : slots_) {
      while (slot == nullptr && asked_ < prompts_.size()) {
        slot = std::make_unique<Sequence>(asked_, prompts_[asked_], options_, positions_,
                                          shape_->vocab_size, tokenizer_);
        ++asked_;
        if (slot->finished()) {
          finish(slot);
        }
      }
    }
  }

  // A sequence that answers gives one token; the rest of the rows go to prompts, first come first.
  bool make_batch() {
    batch_.clear();
    outputs_.clear();
    std::int64_t room = rows_;
    for (const auto& slot : slots_) {
      room -= static_cast<std::int64_t>(slot != nullptr && slot->num_pending() == 1);
    }
    for (std::size_t s = 0; s < slots_.size(); ++s) {
      Sequence* sequence = slots_[s].get();
      if (sequence == nullptr) {
        continue;
      }
      const std::int64_t pending = sequence->num_pending();
      const std::int64_t count = pending == 1 ? 1 : std::min(pending, room);
      room -= pending == 1 ? 0 : count;
      for (std::int64_t i = 0; i < count; ++i) {
        batch_.add(sequence->pending(i), static_cast<std::int32_t>(sequence->next_position() + i),
                   static_cast<std::int32_t>(s));
      }
      sequence->feed(count);
      if (count == pending) {
        batch_.outputs.push_back(static_cast<std::int32_t>(batch_.tokens.size()) - 1);
        outputs_.push_back(s);
      }
    }
    return !batch_.tokens.empty();
  }

  void pick(Decoder& last, std::span<std::int32_t> next) {
    if (!options_.sampling.needs_logits()) {
      last.choose(next);
      return;
    }
    const TensorView logits = last.logits();
    if (last.stream().on_gpu()) {
      pick_on_gpu(last.stream(), logits, next);
      return;
    }
    parallel_items(static_cast<std::int64_t>(next.size()), [&](std::int64_t i) {
      const auto at = static_cast<std::size_t>(i);
      next[at] = slots_[outputs_[at]]->pick(logits.row_range(i, i + 1));
    });
  }

  void pick_on_gpu(const Stream& stream, const TensorView& logits, std::span<std::int32_t> next) {
    if (!sampler_) {
      sampler_.emplace(stream, options_.sampling, std::ssize(slots_));
    }
    for (const std::size_t slot : outputs_) {
      sampler_->add(slots_[slot]->seen(), slots_[slot]->uniform());
    }
    sampler_->choose(logits, next);
  }

  void take(std::size_t slot, std::int32_t token) {
    Sequence& sequence = *slots_[slot];
    show(sequence.index(), sequence.take(token));
    if (sequence.finished()) {
      decoders_->release(static_cast<int>(slot));
      finish(slots_[slot]);
    }
  }

  void interrupt() {
    for (std::unique_ptr<Sequence>& slot : slots_) {
      if (slot != nullptr) {
        show(slot->index(), slot->end(FinishReason::kInterrupted));
        finish(slot);
      }
    }
    for (; asked_ < prompts_.size(); ++asked_) {
      answers_[asked_].reason = FinishReason::kInterrupted;
    }
  }

  void show(std::size_t index, const std::string& text) const {
    if (hooks_.on_text && !text.empty()) {
      hooks_.on_text(index, text);
    }
  }

  void finish(std::unique_ptr<Sequence>& slot) {
    Generated& answer = answers_[slot->index()];
    answer = std::move(slot->answer());
    if (hooks_.on_done) {
      hooks_.on_done(slot->index(), answer);
    }
    slot.reset();
  }

  const std::vector<std::vector<std::int32_t>>& prompts_;
  const GenerationOptions& options_;
  const Tokenizer* tokenizer_;
  const GenerationHooks& hooks_;
  const DecoderShape* shape_;
  std::int64_t positions_;  // of a sequence
  std::vector<Generated> answers_;
  std::vector<std::unique_ptr<Sequence>> slots_;
  std::int64_t rows_ = 0;
  std::unique_ptr<PieceDecoders> decoders_;
  std::optional<DeviceSampler> sampler_;  // where logits lie on a GPU
  std::size_t asked_ = 0;
  DecoderBatch batch_;
  std::vector<std::size_t> outputs_;  // slots of the batch's outputs
  std::vector<std::int32_t> next_;
};

}  // namespace

const char* finish_reason_name(FinishReason reason) noexcept {
  switch (reason) {
    case FinishReason::kStopToken:
      return "stop_token";
    case FinishReason::kStopString:
      return "stop_string";
    case FinishReason::kMaxNew:
      return "max_new";
    case FinishReason::kPositions:
      return "positions";
    case FinishReason::kInterrupted:
      return "interrupted";
  }
  return "?";
}

std::vector<Generated> Generator::run(const std::vector<std::vector<std::int32_t>>& prompts,
                                      const GenerationOptions& options, const Tokenizer* tokenizer,
                                      const GenerationHooks& hooks) {
  check(options.sampling);
  if (prompts.empty()) {
    return {};
  }
  return Generation(*model_, prompts, options, tokenizer, hooks).run();
}

std::vector<std::vector<std::int32_t>> Generator::greedy(
    const std::vector<std::vector<std::int32_t>>& prompts, std::int64_t max_new,
    std::int32_t stop) {
  GenerationOptions options;
  options.max_new = max_new;
  options.stop_tokens = {stop};
  options.batch = static_cast<std::int64_t>(prompts.size());
  std::vector<std::vector<std::int32_t>> answers;
  for (Generated& answer : run(prompts, options)) {
    answers.push_back(std::move(answer.tokens));
  }
  return answers;
}

}  // namespace finescale
