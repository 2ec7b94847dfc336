// SPDX-License-Identifier: Apache-2.0
#include "worker/eval/generate.h"

#include <algorithm>
#include <memory>

#include "worker/eval/decoder.h"

namespace finescale {

namespace {

// The decoders of this rank's pieces; one step goes through the pieces of all ranks.
class PieceDecoders {
 public:
  PieceDecoders(EvalModel& model, std::int64_t batch, std::int64_t positions)
      : links_(model.engine()), pipeline_(&model.mesh().pipeline()) {
    for (const EvalPiece& piece : model.pieces()) {
      decoders_.push_back(std::make_unique<Decoder>(*piece.model, batch, positions));
    }
    sent_.resize(decoders_.size());
  }

  void step(const std::vector<std::int32_t>& tokens, const std::vector<std::int32_t>& positions,
            std::vector<std::int32_t>& best) {
    for (std::size_t chunk = 0; chunk < decoders_.size(); ++chunk) {
      Decoder& decoder = *decoders_[chunk];
      const int piece = links_.piece_of(static_cast<int>(chunk));
      PieceLinks::wait(sent_[chunk]);
      if (!links_.is_first(piece)) {
        links_.receive(decoder.state(), piece - 1, step_, PieceLinks::Kind::kState);
      }
      decoder.pass(tokens, positions);
      if (links_.is_last(piece)) {
        decoder.choose(best);
      } else {
        sent_[chunk] = links_.send(decoder.state(), piece + 1, step_, PieceLinks::Kind::kState);
      }
    }
    ++step_;
    if (pipeline_->size() > 1) {
      pipeline_->broadcast(best.data(), best.size() * sizeof best[0], pipeline_->size() - 1);
    }
  }

 private:
  PieceLinks links_;
  Group* pipeline_;
  std::vector<std::unique_ptr<Decoder>> decoders_;
  std::vector<PieceLinks::Sent> sent_;  // complete after each step: its tokens have come back
  std::int64_t step_ = 0;
};

}  // namespace

std::vector<std::vector<std::int32_t>> Generator::greedy(
    const std::vector<std::vector<std::int32_t>>& prompts, std::int64_t max_new,
    std::int32_t stop) {
  const auto batch = static_cast<std::int64_t>(prompts.size());
  std::int64_t longest = 0;
  for (const auto& prompt : prompts) {
    longest = std::max(longest, static_cast<std::int64_t>(prompt.size()));
  }
  const ModelLayout& layout = model_->pieces().front().model->layout();
  const std::int64_t capacity =
      std::min<std::int64_t>(longest + max_new, layout.shape().max_positions);
  PieceDecoders decoder(*model_, batch, capacity);
  std::vector<std::vector<std::int32_t>> answers(prompts.size());
  std::vector<bool> done(prompts.size(), false);
  std::vector<std::int32_t> tokens(prompts.size());
  std::vector<std::int32_t> positions(prompts.size());
  std::vector<std::int32_t> best(prompts.size());
  for (std::int64_t step = 0; step + 1 <= capacity; ++step) {
    bool any = false;
    for (std::size_t s = 0; s < prompts.size(); ++s) {
      const auto length = static_cast<std::int64_t>(prompts[s].size());
      if (step < length) {
        tokens[s] = prompts[s][static_cast<std::size_t>(step)];
      } else if (!done[s]) {
        tokens[s] = best[s];
      }
      // A finished sequence keeps its place and writes to the position where it stopped: nobody
      // reads it.
      positions[s] = done[s] ? positions[s] : static_cast<std::int32_t>(step);
      any = any || !done[s];
    }
    if (!any) {
      break;
    }
    decoder.step(tokens, positions, best);
    for (std::size_t s = 0; s < prompts.size(); ++s) {
      if (done[s] || step + 1 < static_cast<std::int64_t>(prompts[s].size())) {
        continue;
      }
      if (best[s] == stop || static_cast<std::int64_t>(answers[s].size()) >= max_new) {
        done[s] = true;
      } else {
        answers[s].push_back(best[s]);
        done[s] = static_cast<std::int64_t>(answers[s].size()) >= max_new;
      }
    }
  }
  return answers;
}

}  // namespace finescale
