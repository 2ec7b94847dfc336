// SPDX-License-Identifier: Apache-2.0
#include "coordinator/metrics/tensorboard.h"

#include "coordinator/metrics/event_file.h"
#include "core/files.h"

namespace finescale {

namespace {

// Rows of one stage; `time` and `step` are those of the trial's last update.
void add_stage(const proto::StageResult& result, const std::string& name, double& time,
               std::int64_t& step, EventFile& file) {
  for (const proto::StepRow& row : result.steps()) {
    time += row.seconds();
    step = row.step();
    file.add_scalar(time, step, name + "/loss", row.loss());
    file.add_scalar(time, step, name + "/learning_rate", row.lr());
    file.add_scalar(time, step, name + "/grad_norm", row.grad_norm());
  }
  for (const proto::EvalRow& row : result.evals()) {
    const std::int64_t at = row.step() > 0 ? row.step() : step;  // of a stage of its own: 0
    file.add_scalar(time, at, row.set() + "/" + row.metric(), row.value());
  }
}

}  // namespace

void write_tensorboard(const Campaign& campaign, const std::string& directory) {
  for (const PlannedTrial& trial : campaign.trials) {
    double time = campaign.info.started_unix;
    std::int64_t step = 0;
    EventFile file(time);
    bool is_empty = true;
    for (std::size_t i = 0; i < trial.stages.size(); ++i) {
      const auto result = campaign.results.find(trial.stages[i]);
      const bool is_own = trial.names[i] != "pretrain" && trial.names[i] != "tokenizer";
      if (result != campaign.results.end() && is_own) {
        add_stage(result->second, trial.names[i], time, step, file);
        is_empty = false;
      }
    }
    if (!is_empty) {
      const std::string place = directory + "/" + trial.id;
      make_directories(place);
      // One name for ever: a viewer that has it open sees the file replaced.
      const std::string path =
          place + "/events.out.tfevents." +
          std::to_string(static_cast<std::int64_t>(campaign.info.started_unix)) + ".finescale";
      write_file(path + ".tmp", file.bytes());
      rename_path(path + ".tmp", path);
    }
  }
}

}  // namespace finescale
