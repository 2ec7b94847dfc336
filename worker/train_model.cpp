// SPDX-License-Identifier: Apache-2.0
#include "worker/train_model.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/error.h"
#include "core/gpu_range.h"
#include "worker/checkpoint_tensors.h"
#include "worker/optim/average.h"

namespace finescale {

namespace {

std::vector<std::unique_ptr<Trainable>> make_pieces(const Engine& engine, BaseModel& base,
                                                    const config::Train& train, std::int64_t seed,
                                                    std::int64_t max_micro_batches) {
  std::vector<std::unique_ptr<Trainable>> pieces;
  for (const auto& piece : base.pieces) {
    pieces.push_back(std::make_unique<Trainable>(engine, *piece, train, seed, max_micro_batches));
  }
  return pieces;
}

std::int64_t largest_range(const std::vector<std::unique_ptr<Trainable>>& pieces) {
  std::int64_t largest = 0;
  for (const auto& piece : pieces) {
    largest = std::max(largest, piece->owned().largest_range());
  }
  return largest;
}

std::vector<Trainable*> pointers(const std::vector<std::unique_ptr<Trainable>>& pieces) {
  std::vector<Trainable*> all;
  all.reserve(pieces.size());
  for (const auto& piece : pieces) {
    all.push_back(piece.get());
  }
  return all;
}

}  // namespace

TrainModel::TrainModel(const Engine& engine, BaseModel& base, const config::Train& train,
                       std::int64_t seed, const TrainLoader& loader)
    : engine_(engine),
      objective_(make_objective(train.objective())),
      max_tokens_(loader.max_micro_batch_tokens()),
      pieces_(make_pieces(engine, base, train, seed, loader.max_micro_batches())),
      norm_(engine.stream, engine.mesh->world(), largest_range(pieces_)),
      pipeline_(engine, pointers(pieces_), loader.max_micro_batch_tokens()) {
  std::int64_t own = 0;
  std::vector<EvalPiece> eval;
  for (std::size_t chunk = 0; chunk < pieces_.size(); ++chunk) {
    Trainable* piece = pieces_[chunk].get();
    const ParameterSet& set = piece->trainable();
    for (int index = 0; index < set.size(); ++index) {
      const bool is_copy = piece->has_head_copy() && index == piece->base().layout.head().first;
      const bool is_frozen =
          piece->method().trains_base() && !piece->trains_unit(set.unit_of(index));
      own += is_copy || is_frozen ? 0 : set.tensor(index).shape.num_elements();
    }
    eval.push_back({&piece->model(), [piece] { piece->idle_eval(); }});
  }
  if (objective_->needs_pairs()) {
    for (const auto& piece : pieces_) {
      piece->model().set_weigh([this](const MicroBatch& batch, const TensorView& losses,
                                      const TensorView& weights) {
        const HostCopy known(engine_.stream, losses, HostCopy::For::kReading);
        HostCopy found(engine_.stream, weights, HostCopy::For::kReading);
        const double sum = weigh_pairs(*objective_, reference_, baselines_.value_or(Baselines{}),
                                       batch, known.view(), found.view());
        found.commit();
        return sum;
      });
    }
  }
  num_steps_ = loader.num_steps();
  if (has_average(train)) {
    average_ = train.average();
    for (const auto& piece : pieces_) {
      means_.emplace_back(piece->owned().size_bytes(), engine_.stream);
    }
  }
  num_trainable_ = engine.mesh->pipeline().sum(own);
  const bool here = pieces_.front()->lends_embedding() || pieces_.back()->has_head_copy();
  shares_embedding_ = engine.mesh->pipeline().size() > 1 && here;
  eval_ = std::make_unique<EvalModel>(engine, std::move(eval));
}

void TrainModel::find_gradient_norm() {
  const GpuRange range(engine_.stream, "gradient norm");
  norm_.begin();
  for (const auto& piece : pieces_) {
    piece->owned().sum_over_copies();
    piece->owned().add_squares(norm_);
  }
  norm_.finish();
}

void TrainModel::update(std::int64_t step, double learning_rate) {
  const GpuRange range(engine_.stream, "update", step);
  UpdateStep now{.step = step, .learning_rate = learning_rate, .norm_in_memory = norm_.in_memory()};
  if (now.norm_in_memory == nullptr || engine_.host_moments || engine_.scratch) {
    now.norm = norm_.value();  // it is the host that updates
    if (!std::isfinite(now.norm)) {
      return;
    }
  }
  for (const auto& piece : pieces_) {
    piece->update(engine_.stream, now);
  }
  publish();
  for (const auto& piece : pieces_) {
    piece->choose_anew(step);
  }
  mix(step);
  if (engine_.stream.on_gpu()) {
    engine_.stream.gpu()->flush();  // the host goes on to the next batch
  }
}

double TrainModel::forward_backward(const GlobalBatch& batch, double scale) {
  const GpuRange range(engine_.stream, "forward and backward");
  if (objective_->needs_baseline() && !baselines_) {
    baselines_ = baselines_of(*eval_, reference_, batch.micro_batches, max_tokens_);
  }
  if (teacher_ == nullptr) {
    FS_CHECK(!objective_->divergence(), "a distilling objective has no teacher");
    return pipeline_.train(batch.micro_batches, scale);
  }
  const double loss = pipeline_.train(
      batch.micro_batches, scale,
      [&](std::span<const std::int64_t> mine) { teacher_->see(batch.micro_batches, mine); });
  teacher_->let_go();
  return loss;
}

void TrainModel::set_teacher(Teacher* teacher) {
  teacher_ = teacher;
  for (const auto& piece : pieces_) {
    piece->model().set_teach(
        [this](const MicroBatch& micro_batch) { return teacher_->rows(micro_batch); });
  }
}

void TrainModel::begin_step(std::int64_t step) {
  baselines_.reset();
  for (const auto& piece : pieces_) {
    piece->method().begin_step(step);
  }
}

void TrainModel::have_read() {
  for (HostCopy& copy : host_copies_) {
    copy.commit();
  }
  host_copies_.clear();
  for (const auto& piece : pieces_) {
    piece->owned().have_read();
  }
  publish();
}

void TrainModel::have_written() {
  host_copies_.clear();
  for (const auto& piece : pieces_) {
    piece->owned().have_written();
  }
}

void TrainModel::publish() {
  share_embedding();
  for (const auto& piece : pieces_) {
    piece->publish();
  }
}

// The last pipeline rank updates the embedding that is also the head; the first one takes it over.
void TrainModel::share_embedding() {
  if (!shares_embedding_) {
    return;
  }
  const bool is_first = engine_.mesh->pipeline().rank() == 0;
  pipeline_.links().share_table((is_first ? pieces_.front() : pieces_.back())->common_table());
}

MemoryUse TrainModel::memory() const {
  MemoryUse use;
  for (const auto& piece : pieces_) {
    piece->add_memory(use);
  }
  for (const AlignedBuffer& values : means_) {
    use.weights += static_cast<std::int64_t>(values.size_bytes());
  }
  for (const AlignedBuffer& values : best_) {
    use.weights += static_cast<std::int64_t>(values.size_bytes());
  }
  use.activations += static_cast<std::int64_t>(pipeline_.memory_bytes() + eval_->memory_bytes());
  use.activations += teacher_ == nullptr ? 0 : static_cast<std::int64_t>(teacher_->memory_bytes());
  use.communication += static_cast<std::int64_t>(pipeline_.message_bytes());
  return use;
}

void TrainModel::mix(std::int64_t step) {
  const double part = average_ ? part_in_average(*average_, step, num_steps_) : 0;
  for (std::size_t i = 0; part > 0 && i < means_.size(); ++i) {
    pieces_[i]->owned().mix_into(engine_.stream, means_[i].data(), part);
  }
}

void TrainModel::use_average() {
  for (std::size_t i = 0; i < means_.size(); ++i) {
    pieces_[i]->owned().set_values(means_[i].data());
  }
  publish();
}

void TrainModel::keep_best() {
  for (std::size_t i = 0; i < pieces_.size(); ++i) {
    if (best_.size() <= i) {
      best_.emplace_back(pieces_[i]->owned().size_bytes(), engine_.stream);
    }
    pieces_[i]->owned().copy_values(best_[i].data());
  }
}

void TrainModel::use_best() {
  for (std::size_t i = 0; i < pieces_.size(); ++i) {
    pieces_[i]->owned().set_values(best_[i].data());
  }
  publish();
}

std::vector<CheckpointTensor> TrainModel::tensors(OwnedParameters::Extent extent, bool for_resume,
                                                  bool with_best) {
  std::vector<CheckpointTensor> all;
  const bool reads = extent == OwnedParameters::Extent::kOwned;
  const auto add = [&](std::vector<CheckpointTensor> some) {
    put_on_host(engine_.stream, reads ? HostCopy::For::kWriting : HostCopy::For::kReading, some,
                host_copies_);
    for (CheckpointTensor& tensor : some) {
      all.push_back(std::move(tensor));
    }
  };
  for (std::size_t i = 0; i < pieces_.size(); ++i) {
    OwnedParameters& owned = pieces_[i]->owned();
    add(owned.value_tensors(method().checkpoint_group(), extent));
    add(constants(*pieces_[i], extent));
    if (extent == OwnedParameters::Extent::kShare) {
      add(frozen(*pieces_[i]));
    } else if (method().restores_base()) {
      BasePiece& base = pieces_[i]->base();
      base.store.forget();
      add(kept_tensors("/model", base.weights, base.store));
    }
    if (for_resume) {
      add(owned.moment_tensors("/optimizer", extent,
                               reads ? Moments::For::kReading : Moments::For::kWriting));
    }
    if (for_resume && averages()) {
      add(owned.tensors_in("/average", means_[i].data(), extent));
    }
    if (with_best) {
      if (best_.size() <= i) {
        best_.emplace_back(owned.size_bytes(), engine_.stream);
      }
      add(owned.tensors_in("/best", best_[i].data(), extent));
    }
  }
  return all;
}

// Of a base that trains in part: what a whole checkpoint has besides. A rank writes what no other
// one keeps, or the first of those that keep it.
std::vector<CheckpointTensor> TrainModel::frozen(Trainable& piece) const {
  BasePiece& base = piece.base();
  const bool writes = engine_.zero_stage == 3 ? engine_.mesh->coord().data == 0
                                              : engine_.mesh->replica().rank() == 0;
  if (!piece.method().changes_base() || !writes) {
    return {};
  }
  std::vector<CheckpointTensor> all;
  for (CheckpointTensor& tensor : kept_tensors("/model", base.weights, base.store)) {
    const int index = base.weights.find(tensor.path.substr(std::string_view("/model/").size()));
    const int unit = base.weights.unit_of(index);
    const bool is_copy = base.layout.head_is_copy() && unit == base.plan.num_units() - 1;
    const bool is_written = piece.method().trains_base()
                                ? piece.trains_unit(unit)
                                : piece.trainable().find(base.weights.tensor(index).name) >= 0;
    if (is_written || piece.lends_embedding() || is_copy ||
        !is_first_copy(base.weights.tensor(index), base.weights.tensor_rank(),
                       base.weights.tensor_size())) {
      continue;
    }
    tensor.writes = true;
    tensor.trainable = false;
    all.push_back(std::move(tensor));
  }
  return all;
}

// Written by one of the ranks that hold them.
std::vector<CheckpointTensor> TrainModel::constants(Trainable& piece,
                                                    OwnedParameters::Extent extent) const {
  const ParameterSet* set = piece.method().constants();
  if (set == nullptr) {
    return {};
  }
  std::vector<CheckpointTensor> all = local_tensors(method().checkpoint_group(), *set, true);
  if (extent == OwnedParameters::Extent::kOwned) {
    return all;
  }
  std::vector<CheckpointTensor> share;
  for (int index = 0; index < set->size() && engine_.mesh->replica().rank() == 0; ++index) {
    if (is_first_copy(set->tensor(index), set->tensor_rank(), set->tensor_size())) {
      share.push_back(std::move(all[static_cast<std::size_t>(index)]));
    }
  }
  return share;
}

std::vector<CheckpointTensor> TrainModel::share_for_writing(bool for_resume, bool with_best) {
  return tensors(OwnedParameters::Extent::kShare, for_resume, with_best);
}

std::vector<CheckpointTensor> TrainModel::owned_for_reading(bool with_best) {
  return tensors(OwnedParameters::Extent::kOwned, true, with_best);
}

std::vector<CheckpointTensor> TrainModel::base_for_writing() {
  std::vector<CheckpointTensor> all;
  for (const auto& piece : pieces_) {
    BasePiece& base = piece->base();
    FS_CHECK(base.rounded == nullptr, "a rounded base has no values to write");
    for (CheckpointTensor& tensor : kept_tensors("/model", base.weights, base.store)) {
      tensor.writes = true;
      all.push_back(std::move(tensor));
    }
  }
  put_on_host(engine_.stream, HostCopy::For::kReading, all, host_copies_);
  return all;
}

std::vector<CheckpointTensor> TrainModel::gradients(const std::string& group) {
  std::vector<CheckpointTensor> all;
  for (const auto& piece : pieces_) {
    for (CheckpointTensor& tensor :
         piece->owned().gradient_tensors(group, OwnedParameters::Extent::kShare)) {
      all.push_back(std::move(tensor));
    }
  }
  put_on_host(engine_.stream, HostCopy::For::kReading, all, host_copies_);
  return all;
}

}  // namespace finescale
