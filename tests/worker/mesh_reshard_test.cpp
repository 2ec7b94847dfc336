// SPDX-License-Identifier: Apache-2.0
// A run that stops on one mesh goes on on any other: every pair of twelve meshes and of four that
// split matrices ends with the bits of the run that was never stopped, and what a stop leaves does
// not depend on who wrote it. Between meshes of different tensor sizes the checkpoint's values are
// kept to the bit, and the losses that follow to rounding.
#include <optional>

#include "configs/canonical.h"
#include "tests/comm/mpi_main.h"
#include "tests/worker/mesh_fixture.h"

namespace finescale {
namespace {

const std::vector<MeshCase> kMeshes = {
    {},
    {.data = 2},
    {.shard = 2, .zero = 1},
    {.shard = 2, .zero = 3, .overlap = "on"},
    {.pipeline = 2},
    {.pipeline = 2, .interleave = 2},
    {.shard = 4, .zero = 2},
    {.data = 2, .shard = 2, .zero = 3},
    {.pipeline = 4, .recompute = "full"},
    {.shard = 2, .pipeline = 2, .zero = 2, .interleave = 2},
    {.data = 2, .shard = 2, .pipeline = 2, .zero = 3},
    {.data = 2, .shard = 4, .zero = 1, .overlap = "on"},
};
const std::vector<MeshCase> kSplitMeshes = {
    {.tensor = 2},
    {.data = 2, .tensor = 2},
    {.shard = 2, .tensor = 2, .zero = 3},
    {.shard = 2, .tensor = 2, .pipeline = 2, .zero = 2, .interleave = 2},
};
const MeshRun kRun{.steps = 6};
constexpr int kStop = 3;

class MeshReshard : public MeshTest {
 protected:
  // Resident: one executor for each number of ranks.
  struct Gang {
    std::unique_ptr<Group> group;
    std::unique_ptr<StageExecutor> executor;  // null on ranks that take no part
  };
  Gang& gang(int ranks) {
    Gang& gang = gangs_[ranks];
    if (gang.group == nullptr) {
      const bool takes_part = world_->rank() < ranks;
      gang.group = world_->split(takes_part ? 0 : 1, world_->rank(), "gang");
      if (takes_part) {
        gang.executor = std::make_unique<StageExecutor>(
            *gang.group, ExecutorOptions{.threads = 1, .device = "cpu"}, *logger_);
      }
    }
    return gang;
  }

  // The last stage on inputs below `base`, in where/<key>; continues what lies in `from` and stops
  // after `stop` steps.
  void run(const TrialStages& trial, int ranks, const std::string& base, const std::string& where,
           const std::optional<std::string>& from, std::int64_t stop = -1) {
    const config::StageSpec& spec = trial.stages.back();
    AttemptPlace place;
    place.attempt_dir = where + "/" + spec.key();
    for (const std::string& input : spec.inputs()) {
      place.input_dirs.push_back(base + "/" + input);
    }
    if (from) {
      place.resume_dirs.push_back(*from);
    }
    if (world_->rank() == 0) {
      make_directories(place.attempt_dir);
    }
    world_->barrier();
    StageHooks hooks;
    hooks.on_progress = [stop](const proto::Progress& progress) {
      return progress.doing() == "train" && progress.step() == stop;
    };
    if (Gang& mine = gang(ranks); mine.executor != nullptr) {
      const proto::StageResult result = mine.executor->execute(spec, place, hooks);
      EXPECT_EQ(result.outcome() == proto::StageResult::STOPPED, stop > 0);
    }
    world_->barrier();
  }

  struct Start {
    const Variant* variant = nullptr;
    std::string base;  // where its inputs lie
    Outcome undisturbed;
    std::vector<std::string> stopped;  // by mesh: where it was left
  };
  Start stop_on_all(const Variant& variant, const std::vector<MeshCase>& meshes) {
    Start start;
    start.variant = &variant;
    start.base = directory_ + "/base-" + std::to_string(next_++);
    MeshCase one;
    one.tensor = meshes.front().tensor;
    start.undisturbed = train(stages(variant, one, kRun), one.tensor, start.base);
    std::map<std::string, std::string> saved;
    for (const MeshCase& mesh : meshes) {
      const TrialStages trial = stages(variant, mesh, kRun);
      const std::string where = directory_ + "/stopped-" + std::to_string(next_++);
      run(trial, mesh.ranks(), start.base, where, {}, kStop);
      start.stopped.push_back(where + "/" + trial.stages.back().key());
      if (world_->rank() == 0) {
        const auto tensors = tensors_of(start.stopped.back() + "/step-3.h5", kGroups);
        EXPECT_GT(tensors.size(), 6U);
        saved = saved.empty() ? tensors : saved;
        EXPECT_TRUE(tensors == saved) << variant.name << " written on " << mesh.text();
      }
    }
    return start;
  }

  // The methods take turns over the pairs, so that every mesh hands over to half of the others in
  // each of them.
  void expect_all_pairs(const Variant& full, const Variant& adapter,
                        const std::vector<MeshCase>& meshes) {
    const Start starts[] = {stop_on_all(full, meshes), stop_on_all(adapter, meshes)};
    for (std::size_t from = 0; from < meshes.size(); ++from) {
      for (std::size_t to = 0; to < meshes.size(); ++to) {
        const Start& start = starts[(from / 2 + to) % 2];
        const TrialStages trial = stages(*start.variant, meshes[to], kRun);
        const std::string where = directory_ + "/continued";
        run(trial, meshes[to].ranks(), start.base, where, start.stopped[from]);
        if (world_->rank() == 0) {
          EXPECT_TRUE(outcome(trial.stages.back(), where) == start.undisturbed)
              << start.variant->name << " from " << meshes[from].text() << " on "
              << meshes[to].text();
          std::filesystem::remove_all(where);
        }
        world_->barrier();
      }
    }
  }

  // The same tensors as the work of another stage: the tensor axis is part of a stage's key.
  void hand_over(const std::string& from, const config::StageSpec& to,
                 const std::string& directory) {
    if (world_->rank() != 0) {
      return;
    }
    make_directories(directory);
    auto values = tensors_of(from, kGroups);
    CheckpointReader reader(*single_, from);
    CheckpointState state = reader.state();
    state.stage_text = canonical_text(to);
    std::vector<CheckpointTensor> tensors;
    for (const std::string& group : kGroups) {
      for (const LogicalTensor& tensor : reader.tensors(group)) {
        CheckpointTensor one;
        one.path = group + "/" + tensor.name;
        one.shape = tensor.shape;
        one.part = whole(tensor.shape);
        one.local = TensorView(values.at(one.path).data(), DType::kF32, tensor.shape);
        tensors.push_back(one);
      }
    }
    write_checkpoint(*single_, directory + "/step-3.h5", state, tensors);
  }

  const std::vector<std::string> kGroups = {"/model", "/adapter", "/optimizer/m", "/optimizer/v"};
  std::map<int, Gang> gangs_;
  int next_ = 0;
};

TEST_F(MeshReshard, EveryMeshContinuesTheRunOfEveryOther) {
  expect_all_pairs(kFullTied, kLoraUntied, kMeshes);
}

TEST_F(MeshReshard, EveryMeshThatSplitsMatricesContinuesEveryOther) {
  expect_all_pairs(kFullUntied, kLoraTied, kSplitMeshes);
}

TEST_F(MeshReshard, AnotherTensorSizeContinuesToRounding) {
  const MeshCase sizes[] = {kMeshes[10], kSplitMeshes[3]};
  const MeshCase others[] = {kSplitMeshes[2], kMeshes[9]};
  for (int i = 0; i < 2; ++i) {
    MeshCase one;
    one.tensor = sizes[i].tensor;
    const std::string base = directory_ + "/base-" + std::to_string(next_++);
    const TrialStages first = stages(kFullTied, sizes[i], kRun);
    const Outcome undisturbed = train(stages(kFullTied, one, kRun), one.tensor, base);
    const std::string where = directory_ + "/stopped-" + std::to_string(next_++);
    run(first, sizes[i].ranks(), base, where, {}, kStop);
    const std::string saved = where + "/" + first.stages.back().key() + "/step-3.h5";

    const std::string other_base = directory_ + "/base-" + std::to_string(next_++);
    MeshCase other_one;
    other_one.tensor = others[i].tensor;
    (void)train(stages(kFullTied, other_one, kRun), other_one.tensor, other_base);
    for (const int steps : {kStop, kRun.steps}) {  // the first ends at once: what was read, written
      const TrialStages second = stages(kFullTied, others[i], {.steps = steps});
      const config::StageSpec& spec = second.stages.back();
      const std::string handed = directory_ + "/handed-" + std::to_string(next_);
      const std::string end = directory_ + "/continued-" + std::to_string(next_++);
      hand_over(saved, spec, handed);
      run(second, others[i].ranks(), other_base, end, handed);
      if (world_->rank() != 0) {
        continue;
      }
      const Outcome got = outcome(spec, end);
      if (steps == kStop) {
        EXPECT_TRUE(got.tensors == tensors_of(saved, {"/model"})) << others[i].text();
        continue;
      }
      proto::StageResult expected;
      proto::StageResult actual;
      expected.ParseFromString(undisturbed.rows);
      actual.ParseFromString(got.rows);
      ASSERT_EQ(actual.steps_size(), expected.steps_size());
      for (int step = 0; step < expected.steps_size(); ++step) {
        const double loss = expected.steps(step).loss();
        EXPECT_NEAR(actual.steps(step).loss(), loss, 1e-5 * loss) << others[i].text();
      }
    }
  }
}

}  // namespace
}  // namespace finescale

int main(int argc, char** argv) {
  return finescale::run_mpi_tests(argc, argv, 120);
}
