// SPDX-License-Identifier: Apache-2.0
// What a train stage is to the planner, and what a token of it costs: timed on real steps of the
// run's own first batches where one rank of the CPU can hold them, else the planner's figure.
// Stages that differ in nothing that costs share one shape.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <string>

#include "worker/data/loader.h"
#include "worker/model/model_layout.h"
#include "worker/tool/measured_steps.h"
#include "worker/tool/plan_inputs.h"
#include "worker/tool/plan_tool_mesh.h"

namespace finescale {

struct TrainShape {
  explicit TrainShape(const config::ModelConfig& model) : layout(model) {}
  ModelLayout layout;
  std::unique_ptr<MeasuredSteps> steps;  // null: too large to try on one rank
  double seconds_per_token = 0;
  double seconds_per_token_alone = 0;  // with the threads of every gang
  double eval_seconds_per_token = 0;
  std::int64_t memory_bytes = 0;
  std::int64_t trainable = 0;
  std::int64_t written = 0;  // elements of the artifact
  bool trains_base = true;
};

// Throws kConfig when model, tokenizer, teacher or mesh do not fit together.
[[nodiscard]] planner::Workload make_workload(PlanInputs& inputs, const config::StageSpec& stage);
// Whose model the objective looks at: the base's own without a teacher.
[[nodiscard]] const config::ModelSource& teacher_of(const config::TrainSpec& spec);

// What examples are to the time of a step: means over a pool.
struct PoolForm {
  double length = 0;   // tokens of an example
  double context = 0;  // sum of squared lengths / tokens
  double labels = 0;   // of an example
};
[[nodiscard]] PoolForm form_of(const Dataset& pool);
// Whether a token of both takes the same time: all means differ by less than a tenth.
[[nodiscard]] bool are_alike(const PoolForm& a, const PoolForm& b);

class TrainShapes {
 public:
  struct Threads {
    int own = 1;
    int alone = 1;  // of every gang together
  };
  // The inputs and the answer must outlive the shapes.
  TrainShapes(PlanInputs& inputs, const MeshAnswer& mesh, int ranks, Threads threads)
      : inputs_(inputs), mesh_(mesh), ranks_(ranks), threads_(threads) {}

  [[nodiscard]] TrainShape& of(const config::TrainSpec& spec);
  // Of the stage of this plan that leaves the model; null: it comes from elsewhere.
  [[nodiscard]] const TrainShape* behind(const config::ModelSource& model);

 private:
  struct Known {
    PoolForm form;
    TrainShape shape;
  };
  [[nodiscard]] bool can_measure(const planner::Workload& work) const;
  [[nodiscard]] const PoolForm& form(const config::TrainSpec& spec);
  void price(const config::TrainSpec& spec, TrainShape& shape);
  void measure(const config::TrainSpec& spec, TrainShape& shape);

  PlanInputs& inputs_;
  const MeshAnswer& mesh_;
  int ranks_;
  Threads threads_;
  std::map<const Dataset*, PoolForm> forms_;
  std::map<std::string, std::list<Known>> shapes_;  // the same but for the data: by its form
};

}  // namespace finescale
