// SPDX-License-Identifier: Apache-2.0
#include "coordinator/stage_work.h"

#include <algorithm>

namespace finescale {

namespace {

// Data budget times epochs, or what bounds the training instead, in examples.
double training_work(const config::Train& train, std::int64_t budget) {
  constexpr double kTokensPerExample = 16;  // a guess: only the relation of the stages matters
  const double batch =
      train.batch().has_examples() ? static_cast<double>(train.batch().examples()) : 16;
  if (train.has_tokens()) {
    return static_cast<double>(train.tokens()) / kTokensPerExample;
  }
  if (train.has_steps()) {
    return static_cast<double>(train.steps()) * batch;
  }
  return std::max(static_cast<double>(budget) * train.epochs(),
                  static_cast<double>(train.min_steps()) * batch);
}

}  // namespace

double work_until_end(const config::StageSpec& spec, std::int64_t budget) {
  if (!spec.has_train()) {
    return 1;
  }
  const config::Train& train = spec.train().train();
  const double whole = std::max(1.0, training_work(train, budget));
  if (!spec.train().trunk() || !train.schedule().has_wsd()) {
    return whole;
  }
  return whole * (1 - train.schedule().wsd().decay());
}

}  // namespace finescale
