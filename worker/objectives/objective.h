// SPDX-License-Identifier: Apache-2.0
// What is minimised. One .cpp per objective, registry.cpp lists them. An objective of single
// examples is the mean over the labelled tokens; one of preferences is the mean over pairs of a
// function of the log-probabilities of both answers.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "configs/schema/train.pb.h"
#include "kernels/divergence.h"

namespace finescale {

// One answer: its log-probability given the prompt (nats, a sum over its tokens), now and under the
// reference, which is the model that training started from.
struct Answer {
  double log_prob = 0;
  double reference = 0;
  double num_tokens = 0;
  double baseline = 0;  // where needs_baseline(): see baselines_of
};

struct PairLoss {
  double loss = 0;
  double chosen = 0;  // derivatives by the log-probabilities
  double rejected = 0;
};

class Objective {
 public:
  virtual ~Objective() = default;
  [[nodiscard]] virtual bool needs_pairs() const { return true; }
  [[nodiscard]] virtual bool needs_reference() const { return false; }
  // Whether it compares an answer with the mean of the global batch, which counts as a constant.
  [[nodiscard]] virtual bool needs_baseline() const { return false; }
  // What it wants of a frozen teacher's distribution at the labelled tokens; nothing: no teacher.
  [[nodiscard]] virtual std::optional<DivergenceRule> divergence() const { return std::nullopt; }
  // Of a pair; objectives of single examples have none.
  [[nodiscard]] virtual PairLoss pair_loss(const Answer& chosen, const Answer& rejected) const = 0;

 protected:
  Objective() = default;
  Objective(const Objective&) = default;
  Objective& operator=(const Objective&) = default;
};

[[nodiscard]] std::unique_ptr<Objective> make_objective(const config::Objective& config);

// Kinds, each defined in its own file.
[[nodiscard]] std::unique_ptr<Objective> make_sft(const config::Sft& config);
[[nodiscard]] std::unique_ptr<Objective> make_dpo(const config::Dpo& config);
[[nodiscard]] std::unique_ptr<Objective> make_simpo(const config::Simpo& config);
[[nodiscard]] std::unique_ptr<Objective> make_orpo(const config::Orpo& config);
[[nodiscard]] std::unique_ptr<Objective> make_cpo(const config::Cpo& config);
[[nodiscard]] std::unique_ptr<Objective> make_kto(const config::Kto& config);
[[nodiscard]] std::unique_ptr<Objective> make_distill(const config::Distill& config);

// log(sigmoid(x)) and its derivative sigmoid(-x), without overflow.
[[nodiscard]] double log_sigmoid(double x);
[[nodiscard]] double sigmoid(double x);

}  // namespace finescale
