// SPDX-License-Identifier: Apache-2.0
#include "worker/train_stage.h"

#include <cmath>
#include <filesystem>

#include "checkpoint/async_writer.h"
#include "checkpoint/checkpoint.h"
#include "comm/trace.h"
#include "configs/canonical.h"
#include "configs/stages.h"
#include "core/error.h"
#include "worker/eval/evaluate.h"
#include "worker/measured_model.h"
#include "worker/model_fit.h"
#include "worker/precision.h"
#include "worker/prompt_text.h"
#include "worker/train_loop.h"
#include "worker/trunk.h"

namespace finescale {

namespace {

// One checkpoint is enough: the older ones go once the newer is durable. Collective over the group.
void write_newest(Group& group, const std::string& path, const CheckpointState& state,
                  const std::vector<CheckpointTensor>& tensors) {
  Trace* const trace = group.monitor().trace();
  if (trace != nullptr) {
    trace->name_thread("checkpoint writer");
  }
  const TraceSpan span(trace, "checkpoint", state.step);
  write_checkpoint(group, path, state, tensors);
  if (group.rank() != 0) {
    return;
  }
  const std::filesystem::path newest(path);
  for (const auto& entry : std::filesystem::directory_iterator(newest.parent_path())) {
    if (entry.path() != newest && entry.path().filename().string().starts_with("step-")) {
      std::filesystem::remove(entry.path());
    }
  }
}

class TrainStage {
 public:
  explicit TrainStage(const TrainStageInput& input)
      : in_(input),
        spec_(input.spec->train()),
        engine_(engine_for(*input.engine, spec_.train())),
        world_(engine_.mesh->world()) {}

  proto::StageResult run(std::string* base_key) {
    prepare();
    restore();
    TrainParts parts;
    parts.mesh = engine_.mesh;
    parts.config = &spec_.train();
    parts.loader = loader_.get();
    parts.model = model_.get();
    parts.end = end_;
    parts.pulse = [this](double loss, double rate) { return pulse("train", loss, rate); };
    parts.evaluate = [this](TrainProgress& progress) { return evaluate(progress); };
    parts.save = [this](const TrainProgress& progress) { save_step(progress); };
    in_.logger->info("step {} begins {:.2f} s after the process", progress_.step + 1,
                     process_age());
    const TrainOutcome outcome = run_train_loop(parts, progress_);
    writer_->wait();  // a stop is told only when its checkpoint is durable
    *in_.memory = memory();
    if (outcome == TrainOutcome::kStopped) {
      return result(proto::StageResult::STOPPED,
                    "told to stop after step " + std::to_string(progress_.step));
    }
    *base_key = model_->method().changes_base() ? "" : base_->key;
    write_artifact(outcome == TrainOutcome::kDone);
    if (outcome == TrainOutcome::kDiverged) {
      return result(proto::StageResult::DIVERGED,
                    "loss or gradient is not finite at step " + std::to_string(progress_.step + 1));
    }
    return result(proto::StageResult::DONE, "");
  }

 private:
  void prepare() {
    const DType dtype = storage_of(spec_.train().precision());
    tokenizer_ = in_.resident->tokenizer(spec_.tokenizer(), *in_.dirs);
    data_ = in_.resident->dataset(spec_.data(), spec_.rules(), spec_.tokenizer(), *in_.dirs);
    in_.logger->info("data: {}", data_->describe());
    const Engine& engine = *in_.engine;
    resident_base_ = in_.resident->base(engine, spec_.model(), dtype, spec_.seed(), *in_.dirs,
                                        base_form(engine_, spec_.train()));
    base_ = resident_base_.get();
    const std::unique_ptr<Objective> objective = make_objective(spec_.train().objective());
    std::vector<const BaseModel*> needed = {resident_base_.get()};
    if (objective->divergence()) {
      find_teacher(dtype);
      needed.push_back(learnt_from_.base.get());
    }
    in_.resident->keep_only(needed);  // what else was measured makes room
    if (leaves_whole_weights(spec_.train().method()) && !spec_.model().has_fresh()) {
      // The resident weights stay as they are; the stage trains a copy.
      copy_ = std::make_unique<BaseModel>(copy_of(engine, *resident_base_));
      base_ = copy_.get();
    }
    check_model_fits(base_->config, *tokenizer_, spec_.rules());
    check_virtual_tokens(spec_.train().method(), base_->config, spec_.rules());
    check_data(*objective, *data_);
    loader_ = std::make_unique<TrainLoader>(*data_, spec_.train(), spec_.seed());
    end_ = spec_.trunk() ? trunk_end(*loader_, spec_.train()) : loader_->num_steps();
    model_ = std::make_unique<TrainModel>(
        engine_, *base_, with_prompt_ids(spec_.train(), *tokenizer_), spec_.seed(), *loader_);
    if (!model_->method().changes_base() && base_->key.empty()) {
      throw Error(ErrorKind::kConfig, "an adapter needs a trained base", "base",
                  "give base.model or base.pretrain");
    }
    if (objective->needs_reference()) {  // the base as it is now, and at every resume
      MeasuredModel start(engine_, {resident_base_, {}});
      reference_ = std::make_unique<ReferenceScores>(start.eval(), *data_, *loader_);
      model_->set_reference(reference_.get());
    }
    if (objective->divergence()) {
      teacher_model_ = std::make_unique<MeasuredModel>(engine_, std::move(learnt_from_));
      teacher_ = std::make_unique<Teacher>(teacher_model_->eval(), *objective->divergence(),
                                           loader_->max_micro_batches(),
                                           loader_->max_micro_batch_tokens());
      model_->set_teacher(teacher_.get());
    }
    writer_ = std::make_unique<AsyncCheckpointWriter>(world_, write_newest);
    for (const config::DatasetRef& set : spec_.eval()) {
      eval_sets_.push_back(in_.resident->dataset(set, spec_.rules(), spec_.tokenizer(), *in_.dirs));
    }
  }

  // The model that the stage distils, as it was when the stage was planned.
  void find_teacher(DType dtype) {
    learnt_from_ = {resident_base_, {}};
    if (!spec_.has_teacher()) {
      return;
    }
    const Engine& engine = *in_.engine;
    learnt_from_ = in_.resident->adapted(engine, spec_.teacher(), dtype, *in_.dirs);
    teacher_base_ = learnt_from_.base;
    check_teacher_fits(teacher_base_->config, resident_base_->config, spec_.rules());
  }

  // A trunk leaves what a resume needs: the stages that start from it go on as if resumed.
  void write_artifact(bool is_done) {
    const TraceSpan span(world_.monitor().trace(), "checkpoint", progress_.step);
    const bool goes_on = is_done && spec_.trunk();
    const bool has_best = is_done && progress_.best_loss.has_value();
    if (has_best && !goes_on) {
      model_->use_best();
    }
    if (is_done && !goes_on && model_->averages()) {
      model_->use_average();
    }
    write_checkpoint(world_, in_.place->attempt_dir + "/checkpoint.h5", state(progress_),
                     model_->share_for_writing(goes_on, goes_on && has_best));
  }

  CheckpointState state(const TrainProgress& progress) const {
    CheckpointState state;
    state.step = progress.step;
    state.tokens = progress.tokens;
    state.labels = progress.labels;
    state.examples = progress.examples;
    state.seconds = progress.seconds;
    state.train_flops = progress.flops;
    state.base_key = model_->method().changes_base() ? "" : base_->key;
    state.stage_text = canonical_text(*in_.spec);
    state.model_text = canonical_text(base_->config);
    state.result = progress.rows.SerializeAsString();
    if (progress.best_loss) {
      state.numbers["best_loss"] = *progress.best_loss;
      state.numbers["best_step"] = static_cast<double>(progress.best_step);
    }
    return state;
  }

  // Training goes on while the file is written; what fails then is thrown by the next save or the
  // end of the stage.
  void save_step(const TrainProgress& progress) {
    const std::string path =
        in_.place->attempt_dir + "/step-" + std::to_string(progress.step) + ".h5";
    const std::vector<CheckpointTensor> share =
        model_->share_for_writing(true, progress.best_loss.has_value());
    if (engine_.scratch) {  // a copy in memory is what the file of moments is there to avoid
      const TraceSpan span(world_.monitor().trace(), "save", progress.step);
      write_newest(world_, path, state(progress), share);
    } else {
      const TraceSpan span(world_.monitor().trace(), "snapshot", progress.step);
      writer_->start(path, state(progress), share);
    }
    model_->have_written();
    in_.logger->debug("saves {}", path);
  }

  void restore() {
    std::vector<std::string> places = {in_.place->attempt_dir};
    places.insert(places.end(), in_.place->resume_dirs.begin(), in_.place->resume_dirs.end());
    std::vector<std::string> skipped;
    const std::optional<std::string> path = newest_checkpoint(world_, places, &skipped);
    for (const std::string& why : skipped) {
      in_.logger->warn("skipped a damaged checkpoint: {}", why);
    }
    if (path) {
      restore_from(*path, in_.spec->key());
    } else if (spec_.has_start()) {
      restore_from(in_.dirs->at(spec_.start()) + "/checkpoint.h5", spec_.start());
      inherit();
    }
    if (progress_.step > end_) {
      throw Error(ErrorKind::kInternal, "the stage ends at update " + std::to_string(end_) +
                                            ", but its start has done " +
                                            std::to_string(progress_.step));
    }
  }

  // What is done so far, other stages have done.
  void inherit() {
    proto::TrainTotals& totals = *progress_.rows.mutable_inherited();
    totals.set_steps(progress_.step);
    totals.set_tokens(progress_.tokens);
    totals.set_labels(progress_.labels);
    totals.set_examples(progress_.examples);
    totals.set_train_flops(progress_.flops);
    totals.set_seconds(progress_.seconds);
  }

  // `key`: of the stage that must have written it.
  void restore_from(const std::string& path, const std::string& key) {
    CheckpointReader reader(world_, path);
    const CheckpointState& state = reader.state();
    config::StageSpec made_by;
    parse_canonical(state.stage_text, made_by);
    if (made_by.key() != key) {
      throw Error(ErrorKind::kCheckpoint,
                  "the checkpoint belongs to another stage (" + made_by.key() + ")", path);
    }
    progress_.step = state.step;
    progress_.tokens = state.tokens;
    progress_.labels = state.labels;
    progress_.examples = state.examples;
    progress_.seconds = state.seconds;
    progress_.flops = state.train_flops;
    if (!progress_.rows.ParseFromString(state.result)) {
      throw Error(ErrorKind::kCheckpoint, "the checkpoint's rows cannot be read", path);
    }
    if (const auto best = state.numbers.find("best_loss"); best != state.numbers.end()) {
      progress_.best_loss = best->second;
      progress_.best_step = static_cast<std::int64_t>(state.numbers.at("best_step"));
    }
    reader.read(model_->owned_for_reading(progress_.best_loss.has_value()));
    model_->have_read();
    in_.logger->info("continues from step {} of {}", progress_.step, end_);
  }

  // Also of the base that a copy trains, which stays for the next stage.
  MemoryUse memory() const {
    MemoryUse use = model_->memory();
    if (copy_ != nullptr) {
      for (const auto& piece : resident_base_->pieces) {
        add_values(*piece, use);
      }
    }
    if (teacher_base_ != nullptr && teacher_base_ != resident_base_) {
      for (const auto& piece : teacher_base_->pieces) {
        add_values(*piece, use);
      }
    }
    use.data += static_cast<std::int64_t>(data_->memory_bytes());
    use.data += reference_ == nullptr ? 0 : static_cast<std::int64_t>(reference_->memory_bytes());
    for (const auto& set : eval_sets_) {
      use.data += static_cast<std::int64_t>(set->memory_bytes());
    }
    return use;
  }

  bool pulse(const char* doing, double loss, double rate) {
    proto::Progress progress;
    progress.set_step(progress_.step);
    progress.set_steps(end_);
    progress.set_tokens(progress_.tokens);
    progress.set_loss(loss);
    progress.set_tokens_per_second(rate);
    progress.set_doing(doing);
    return in_.hooks->on_progress && in_.hooks->on_progress(progress);
  }

  double evaluate(TrainProgress& progress) {
    double first = 0;
    for (std::size_t i = 0; i < eval_sets_.size(); ++i) {
      const Measured measured = measure_loss(model_->eval(), *eval_sets_[i], [] {});
      proto::EvalRow& row = *progress.rows.add_evals();
      row.set_step(progress.step);
      row.set_set(spec_.eval(static_cast<int>(i)).name());
      row.set_metric("loss");
      row.set_value(measured.value);
      row.set_n(measured.n);
      first = i == 0 ? measured.value : first;
    }
    return first;
  }

  proto::StageResult result(proto::StageResult::Outcome outcome, const std::string& why) {
    proto::StageResult out = progress_.rows;
    out.set_outcome(outcome);
    if (!why.empty()) {
      out.set_why(why);
    }
    out.set_tokens(progress_.tokens);
    out.set_labels(progress_.labels);
    out.set_examples(progress_.examples);
    out.set_train_flops(progress_.flops);
    out.set_seconds(progress_.seconds);
    out.set_skipped_examples(data_->counts().skipped + data_->counts().dropped);
    out.set_truncated_examples(data_->counts().truncated);
    const std::int64_t trainable = model_->num_trainable();
    out.set_trainable_parameters(trainable);
    out.set_total_parameters(num_parameters(base_->config) +
                             (model_->method().changes_base() ? 0 : trainable));
    return out;
  }

  const TrainStageInput& in_;
  const config::TrainSpec& spec_;
  Engine engine_;
  Group& world_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::shared_ptr<const Dataset> data_;
  std::vector<std::shared_ptr<const Dataset>> eval_sets_;
  std::shared_ptr<BaseModel> resident_base_;
  std::unique_ptr<BaseModel> copy_;
  BaseModel* base_ = nullptr;
  std::unique_ptr<TrainLoader> loader_;
  std::unique_ptr<ReferenceScores> reference_;
  AdaptedModel learnt_from_;                 // until the teacher is made of it
  std::shared_ptr<BaseModel> teacher_base_;  // of its own; null: the stage's
  std::unique_ptr<MeasuredModel> teacher_model_;
  std::unique_ptr<Teacher> teacher_;
  std::unique_ptr<TrainModel> model_;
  TrainProgress progress_;
  std::int64_t end_ = 0;  // updates of this stage and of what it starts from
  std::unique_ptr<AsyncCheckpointWriter> writer_;
};

}  // namespace

proto::StageResult run_train_stage(const TrainStageInput& input, std::string* base_key) {
  return TrainStage(input).run(base_key);
}

}  // namespace finescale
