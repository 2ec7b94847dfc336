// SPDX-License-Identifier: Apache-2.0
#include "worker/tool/measured_steps.h"

#include <algorithm>

#include "core/stopwatch.h"
#include "worker/eval/generate.h"
#include "worker/precision.h"

namespace finescale {

namespace {

constexpr double kMeasureSeconds = 0.5;  // enough steps for a stable median

}  // namespace

MeasuredSteps::MeasuredSteps(const config::ModelConfig& config, const config::Train& train,
                             const TrainLoader& loader, const config::ModelConfig& teacher)
    : base_(make_base_model(single_.engine(), config, storage_of(train.precision()),
                            base_form(engine_for(single_.engine(), train), train))),
      loader_(&loader),
      learning_rate_(1e-9) {
  initialize(base_, 1);
  model_ =
      std::make_unique<TrainModel>(engine_for(single_.engine(), train), base_, train, 1, loader);
  if (const auto divergence = make_objective(train.objective())->divergence()) {
    auto weights = std::make_shared<BaseModel>(
        make_base_model(single_.engine(), teacher, storage_of(train.precision()), {}));
    initialize(*weights, 2);
    teacher_model_ = std::make_unique<MeasuredModel>(engine_for(single_.engine(), train),
                                                     AdaptedModel{weights, {}});
    teacher_ =
        std::make_unique<Teacher>(teacher_model_->eval(), *divergence, loader.max_micro_batches(),
                                  loader.max_micro_batch_tokens());
    model_->set_teacher(teacher_.get());
  }
}

double MeasuredSteps::seconds_per_token() {
  std::vector<double> rates;
  GlobalBatch batch;
  const Stopwatch watch;
  for (int i = 0; i < 400 && (i < 4 || watch.seconds() < kMeasureSeconds); ++i) {
    const Stopwatch step;
    loader_->fill(next_step_ % loader_->num_steps(), batch);
    model_->begin_step(next_step_ + 1);
    (void)model_->forward_backward(batch, 1e-4);
    model_->find_gradient_norm();
    model_->update(++next_step_, learning_rate_);
    (void)model_->gradient_norm();  // as the loop does
    if (i > 0) {
      rates.push_back(step.seconds() / static_cast<double>(batch.num_tokens));
    }
  }
  std::nth_element(rates.begin(), rates.begin() + std::ssize(rates) / 2, rates.end());
  return rates[rates.size() / 2];
}

double MeasuredSteps::eval_seconds_per_token() {
  GlobalBatch batch;
  loader_->fill(0, batch);
  constexpr int kRounds = 8;
  const Stopwatch watch;
  for (int i = 0; i < kRounds; ++i) {
    (void)model_->eval().loss_sum(batch.micro_batches, loader_->max_micro_batch_tokens(), [] {});
  }
  return watch.seconds() / static_cast<double>(kRounds * batch.num_tokens);
}

double MeasuredSteps::answer_seconds(const std::vector<std::vector<std::int32_t>>& prompts,
                                     std::int64_t max_new) {
  const Stopwatch watch;
  (void)Generator(model_->eval()).greedy(prompts, max_new, -1);
  return watch.seconds();
}

}  // namespace finescale
