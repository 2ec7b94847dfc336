// SPDX-License-Identifier: Apache-2.0
// What a training step sends on each axis against the formulas of docs/sharding.md, to the byte.
#include <map>
#include <optional>
#include <set>

#include "core/parallel.h"
#include "core/random.h"
#include "sharding/tree_order.h"
#include "tests/comm/mpi_main.h"
#include "tests/worker/mesh_fixture.h"
#include "worker/engines.h"
#include "worker/train_model.h"

namespace finescale {
namespace {

constexpr std::int64_t kElement = 4;
constexpr int kWidth = 32;
constexpr int kVocab = 288;

using Sent = std::map<std::string, std::int64_t>;  // bytes by axis

config::ModelConfig model_config(bool tied) {
  config::ModelConfig config;
  config::Llama& llama = *config.mutable_llama();
  llama.set_hidden_size(kWidth);
  llama.set_intermediate_size(64);
  llama.set_num_layers(8);
  llama.set_num_heads(4);
  llama.set_num_kv_heads(4);
  llama.set_vocab_size(kVocab);
  llama.set_max_positions(64);
  llama.set_tie_embeddings(tied);
  return config;
}

config::Mesh mesh_config(const MeshCase& c) {
  config::Mesh mesh;
  mesh.set_data(c.data);
  mesh.set_shard(c.shard);
  mesh.set_tensor(c.tensor);
  mesh.set_pipeline(c.pipeline);
  mesh.set_zero(c.zero);
  mesh.set_interleave(c.interleave);
  mesh.set_recompute(c.recompute == "selective" ? config::RECOMPUTE_SELECTIVE
                                                : config::RECOMPUTE_NONE);
  mesh.set_overlap(c.overlap == "on" ? config::OVERLAPPING_ON : config::OVERLAPPING_OFF);
  return mesh;
}

Dataset examples() {
  Random random(3, Purpose::kTest);
  std::vector<Example> all(60);
  for (Example& example : all) {
    const auto length = 3 + random.below(20);
    for (std::uint64_t i = 0; i < length; ++i) {
      example.tokens.push_back(static_cast<std::int32_t>(random.below(kVocab)));
    }
    example.num_prompt = 1;
  }
  return Dataset(std::move(all));
}

// One rank's bytes of one step.
class Formula {
 public:
  Formula(const Engine& engine, const MeshCase& c, BaseModel& base, const GlobalBatch& batch)
      : engine_(engine), case_(c), base_(base), batch_(batch), mesh_(*engine.mesh) {}

  Sent all() {
    list_micro_batches();
    const bool last = mesh_.coord().pipeline == case_.pipeline - 1;
    sent_["case"] = 71 * 8 * (mesh_.world().size() - 1);  // the norm
    for (std::size_t chunk = 0; chunk < base_.pieces.size(); ++chunk) {
      BasePiece& piece = *base_.pieces[chunk];
      gradients(piece);
      parameters(piece, static_cast<int>(chunk));
      if (case_.tensor > 1) {
        sum_over_copies(piece);
      }
      for (const MicroBatch* micro : mine_) {
        rows(piece, *micro);
        messages(piece, *micro);
      }
    }
    if (last) {
      sent_["replica"] += rounds_ * 16 * (mesh_.replica().size() - 1);  // losses
      sent_["pipeline"] += 8 * (case_.pipeline - 1);                    // their sum
      if (base_.pieces.back()->layout.head_is_copy()) {
        BasePiece& piece = *base_.pieces.back();
        sent_["pipeline"] += kElement * piece.store.owned_range(piece.plan.num_units() - 1).size();
      }
    }
    return sent_;
  }

 private:
  void list_micro_batches() {
    const int ranks = mesh_.replica().size();
    const int rank = mesh_.replica().rank();
    const auto count = std::ssize(batch_.micro_batches);
    rounds_ = (count + ranks - 1) / ranks;
    const MicroBatchRange range = micro_batches_of(count, rank, ranks);
    for (std::int64_t i = 0; i < count; ++i) {
      const bool here = case_.zero >= 2 ? i % ranks == rank : i >= range.begin && i < range.end;
      if (here) {
        mine_.push_back(&batch_.micro_batches[static_cast<std::size_t>(i)]);
      }
    }
  }

  void gradients_of(const ShardPlan& plan, int first_unit, int last_unit) {
    const int ranks = mesh_.replica().size();
    const auto count = std::ssize(batch_.micro_batches);
    std::int64_t elements = 0;
    std::int64_t slices = 0;
    for (int unit = first_unit; unit < last_unit; ++unit) {
      elements += plan.unit(unit).size();
      slices += plan.slice(unit, mesh_.replica().rank()).size();
    }
    const std::int64_t times =
        case_.zero >= 2 ? std::ssize(mine_)
                        : std::ssize(partial_nodes(
                              micro_batches_of(count, mesh_.replica().rank(), ranks), count));
    if (ranks == 1) {
      return;
    }
    sent_["replica"] += kElement * times * (elements - slices);
    sent_[case_.zero == 0 ? "replica" : "data"] +=
        kElement * ((case_.zero == 0 ? ranks : case_.data) - 1) * slices;
  }

  // The last pipeline rank sums the tied embedding's gradient; the first one has none.
  void gradients(BasePiece& piece) {
    const ModelPart& part = piece.layout.part();
    const bool lent = piece.layout.shape().tied && part.has_embedding && !part.has_head;
    gradients_of(piece.plan, lent ? 1 : 0, piece.plan.num_units());
  }

  // A pass that goes back the way of the one before it finds two layers in their places.
  [[nodiscard]] std::int64_t num_gathers(std::int64_t layers, int chunk) const {
    const PipelineSchedule schedule =
        make_pipeline_schedule({case_.pipeline, engine_.chunks, rounds_});
    std::int64_t gathers = 0;
    std::optional<bool> before;
    for (const PipelineAction& action :
         schedule.actions[static_cast<std::size_t>(mesh_.coord().pipeline)]) {
      if (action.chunk == chunk) {
        gathers += before.has_value() && *before != action.backward ? layers - 2 : layers;
        before = action.backward;
      }
    }
    return gathers;
  }

  void parameters(BasePiece& piece, int chunk) {
    std::int64_t all = 0;
    for (int unit = 0; unit < piece.plan.num_units(); ++unit) {
      all += piece.store.owned_range(unit).size();
    }
    if (case_.zero == 3) {
      const std::int64_t layers = piece.layout.num_layers();
      const std::int64_t layer = piece.store.owned_range(piece.layout.layer_unit(0)).size();
      const std::int64_t gathers = num_gathers(layers, chunk);
      all += (gathers - layers) * layer;
    }
    sent_["shard"] += case_.zero == 0 ? 0 : kElement * (case_.shard - 1) * all;
  }

  void sum_over_copies(BasePiece& piece) {
    std::int64_t elements = 0;
    for (int index = 0; index < piece.weights.size(); ++index) {
      if (copies(piece.weights.tensor(index), case_.tensor) == 1) {
        continue;
      }
      const UnitRange owned = piece.store.owned_range(piece.weights.unit_of(index));
      const std::int64_t begin = piece.weights.offset(index);
      const std::int64_t end = begin + piece.weights.local_shape(index).num_elements();
      elements +=
          std::max<std::int64_t>(0, std::min(end, owned.end) - std::max(begin, owned.begin));
    }
    const int rank = mesh_.tensor().rank();
    const int ranks = case_.tensor;
    const auto cut = [&](int r) { return r == ranks ? elements : r * elements / ranks / 16 * 16; };
    const std::int64_t slice = cut(rank + 1) - cut(rank);
    sent_["tensor"] += kElement * (elements - slice + (ranks - 1) * slice);
  }

  [[nodiscard]] std::int64_t own_rows(const MicroBatch& micro) const {
    const std::int64_t tokens = micro.num_tokens();
    const int rank = mesh_.tensor().rank();
    return tokens * (rank + 1) / case_.tensor - tokens * rank / case_.tensor;
  }

  void rows(const BasePiece& piece, const MicroBatch& micro) {
    if (case_.tensor == 1) {
      return;
    }
    const ModelPart& part = piece.layout.part();
    const std::int64_t own = own_rows(micro);
    const std::int64_t gather = (case_.tensor - 1) * own * kWidth;
    const std::int64_t scatter = (micro.num_tokens() - own) * kWidth;
    const std::int64_t layers = piece.layout.num_layers();
    std::int64_t elements = layers * 4 * (gather + scatter);
    elements += case_.recompute == "selective" ? layers * 2 * gather : 0;
    elements += part.has_embedding ? gather + scatter : 0;
    elements += part.has_head ? gather + scatter + (case_.tensor - 1) * 3 * micro.num_labels : 0;
    sent_["tensor"] += kElement * elements;
  }

  void messages(const BasePiece& piece, const MicroBatch& micro) {
    if (case_.pipeline == 1) {
      return;
    }
    const ModelPart& part = piece.layout.part();
    const std::int64_t state = own_rows(micro) * kWidth;
    std::int64_t elements = part.has_head ? 0 : state;
    if (!part.has_embedding) {
      elements += state;
    } else if (piece.layout.shape().tied) {
      const int begin = kVocab * mesh_.tensor().rank() / case_.tensor;
      const int end = kVocab * (mesh_.tensor().rank() + 1) / case_.tensor;
      std::set<std::int32_t> ids;
      for (const std::int32_t token : micro.tokens) {
        if (token >= begin && token < end) {
          ids.insert(token);
        }
      }
      elements += micro.num_tokens() + 1 + std::ssize(ids) * kWidth;
    }
    sent_["pipeline"] += kElement * elements;
  }

  const Engine& engine_;
  const MeshCase& case_;
  BaseModel& base_;
  const GlobalBatch& batch_;
  Mesh& mesh_;
  std::vector<const MicroBatch*> mine_;
  std::int64_t rounds_ = 0;
  Sent sent_{{"data", 0}, {"shard", 0}, {"replica", 0}, {"tensor", 0}, {"pipeline", 0}};
};

Sent difference(const std::map<std::string, std::uint64_t>& after,
                const std::map<std::string, std::uint64_t>& before) {
  Sent sent;
  for (const std::string name : {"case", "data", "shard", "replica", "tensor", "pipeline"}) {
    sent[name] = static_cast<std::int64_t>(after.at(name) - before.at(name));
  }
  return sent;
}

void expect_bytes(Group& group, const MeshCase& c, bool tied) {
  Engines engines(group);
  const Engine engine = engines.get(mesh_config(c));
  const Dataset dataset = examples();
  config::Train train;
  train.mutable_method()->mutable_full();
  train.set_steps(3);
  train.mutable_batch()->set_examples(12);
  train.set_micro_batch_tokens(40);
  const TrainLoader loader(dataset, train, 1);
  BaseModel base = make_base_model(engine, model_config(tied), DType::kF32);
  initialize(base, 1);
  TrainModel model(engine, base, train, 1, loader);
  GlobalBatch batch;
  for (std::int64_t step = 0; step < 3; ++step) {
    loader.fill(step, batch);
    ASSERT_GT(batch.micro_batches.size(), 2U);
    group.barrier();
    const auto before = group.monitor().bytes_sent();
    (void)model.forward_backward(batch, 1e-3);
    model.find_gradient_norm();
    model.update(step + 1, 1e-3);
    const Sent sent = difference(group.monitor().bytes_sent(), before);
    EXPECT_EQ(sent, Formula(engine, c, base, batch).all())
        << c.text() << (tied ? " tied" : " untied") << " rank " << group.rank() << " step " << step;
  }
}

const std::vector<MeshCase> kMeshes = {
    {.data = 4},
    {.shard = 4, .zero = 1},
    {.data = 2, .shard = 2, .zero = 2, .overlap = "on"},
    {.shard = 2, .zero = 3},
    {.data = 2, .shard = 4, .zero = 3, .overlap = "on"},
    {.tensor = 2},
    {.tensor = 4, .recompute = "selective"},
    {.pipeline = 2},
    {.pipeline = 4, .interleave = 2},
    {.shard = 2, .tensor = 2, .pipeline = 2, .zero = 1, .interleave = 2},
    {.data = 2, .tensor = 2, .pipeline = 2, .recompute = "selective"},
    {.data = 2, .shard = 2, .pipeline = 2, .zero = 2},
    {.shard = 2, .tensor = 2, .pipeline = 2, .zero = 3},
};

TEST(MeshBytes, OfAStepAreTheFormulaOnEveryAxis) {
  set_num_threads(1);
  const auto world = make_world_group();
  for (const MeshCase& c : kMeshes) {
    for (const bool tied : {false, true}) {
      const bool takes_part = world->rank() < c.ranks();
      const auto group = world->split(takes_part ? 0 : 1, world->rank(), "case");
      if (takes_part) {
        expect_bytes(*group, c, tied);
      }
      world->barrier();
    }
  }
}

}  // namespace
}  // namespace finescale

int main(int argc, char** argv) {
  return finescale::run_mpi_tests(argc, argv, 120);
}
