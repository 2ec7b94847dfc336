// SPDX-License-Identifier: Apache-2.0
// Pieces of a pipeline, recomputation and units: the same bits as the whole model that keeps
// everything.
#include <ostream>

#include <gtest/gtest.h>

#include "tests/worker/model_fixture.h"

namespace finescale {
namespace {

using namespace model_test;  // NOLINT(google-build-using-namespace)

struct PiecesCase {
  std::string name;
  Shape4 shape;
  friend void PrintTo(const PiecesCase& c, std::ostream* out) { *out << c.name; }
};

class ModelPieces : public testing::TestWithParam<PiecesCase> {};

// Gradients of one tensor of a piece as bytes.
std::string bytes_of(const Held& held, const std::string& name) {
  const ParameterSet& set = held.method->trainable();
  const int index = set.find(name);
  if (index < 0) {
    return {};
  }
  const TensorView view = set.view_in(held.gradient, index);
  return {view.as<char>(), view.size_bytes()};
}

// Two micro-batches, both in flight before the first goes back. With a group each rank holds its
// share of every piece.
void run_pieces(const std::vector<int>& cuts, const Shape4& shape, Recompute recompute,
                Group* group = nullptr) {
  const int rank = group == nullptr ? 0 : group->rank();
  const int ranks = group == nullptr ? 1 : group->size();
  const std::vector<MicroBatch> batches = {make_batch(), make_batch({9, 13})};
  const int last = static_cast<int>(cuts.size()) - 2;
  std::vector<std::unique_ptr<Held>> pieces;
  for (int p = 0; p <= last; ++p) {
    const auto at = static_cast<std::size_t>(p);
    pieces.push_back(std::make_unique<Held>(
        shape, DType::kF32,
        ModelPart{.tensor_rank = rank,
                  .tensor_size = ranks,
                  .first_layer = cuts[at],
                  .num_layers = cuts[at + 1] - cuts[at],
                  .has_embedding = p == 0,
                  .has_head = p == last},
        TransformerOptions{.tensor = group, .recompute = recompute, .hooks = {}}));
  }
  std::vector<std::vector<Tape>> tapes(batches.size());
  const auto forward = [&](std::size_t m) {
    double loss = 0;
    for (int p = 0; p <= last; ++p) {
      Transformer& model = *pieces[static_cast<std::size_t>(p)]->model;
      tapes[m].push_back(model.make_tape());
      Tape& tape = tapes[m].back();
      const TensorView input = model.begin(tape, batches[m], 64, true);
      if (p > 0) {
        const TensorView& from = pieces[static_cast<std::size_t>(p) - 1]->model->output(
            tapes[m][static_cast<std::size_t>(p) - 1]);
        std::memcpy(input.data, from.data, from.size_bytes());
      }
      if (p == last) {
        pieces[static_cast<std::size_t>(p)]->bind();
      }
      loss = model.forward(tape, batches[m], 0.25);
    }
    return loss;
  };
  const auto backward = [&](std::size_t m) {
    TensorView gradient;
    for (int p = last; p >= 0; --p) {
      const auto at = static_cast<std::size_t>(p);
      Transformer& model = *pieces[at]->model;
      if (p < last) {
        pieces[at]->bind();
        const TensorView place = model.output_gradient(tapes[m][at]);
        std::memcpy(place.data, gradient.data, gradient.size_bytes());
      }
      gradient = model.backward(tapes[m][at]);
    }
    if (shape.tied && last > 0 && !shape.lora) {
      pieces[static_cast<std::size_t>(last)]->model->add_embedding_rows(
          tapes[m][0].embedding_rows());
    }
  };
  // The last piece makes its gradients in the forward pass already: its loss comes last.
  Held whole(shape, DType::kF32, {.tensor_rank = rank, .tensor_size = ranks},
             {.tensor = group, .recompute = {}, .hooks = {}});
  for (const std::size_t m : {std::size_t{1}, std::size_t{0}}) {
    tapes[0].clear();
    tapes[1].clear();
    (void)forward(1 - m);
    const double loss = forward(m);
    backward(m);
    EXPECT_EQ(loss, whole.step(batches[m]));
    const ParameterSet& set = whole.method->trainable();
    for (int index = 0; index < set.size(); ++index) {
      const std::string& name = set.tensor(index).name;
      std::string got;
      for (const auto& piece : pieces) {  // the copy of the embedding lies in the last one
        const std::string found = bytes_of(*piece, name);
        got = found.empty() ? got : found;
      }
      EXPECT_TRUE(got == bytes_of(whole, name)) << name;
    }
  }
}

TEST_P(ModelPieces, TwoAndThreePiecesGiveTheWholesBits) {
  for (const Recompute recompute : {Recompute::kNone, Recompute::kSelective, Recompute::kFull}) {
    run_pieces({0, 1, 3}, GetParam().shape, recompute);
    run_pieces({0, 2, 3}, GetParam().shape, recompute);
    run_pieces({0, 1, 2, 3}, GetParam().shape, recompute);
  }
}

TEST_P(ModelPieces, TensorParallelPiecesGiveTheTensorParallelBits) {
  run_local_ranks(2, [&](Group& group) {
    set_num_threads(1);
    run_pieces({0, 1, 3}, GetParam().shape, Recompute::kNone, &group);
    run_pieces({0, 2, 3}, GetParam().shape, Recompute::kFull, &group);
  });
}

TEST_P(ModelPieces, RecomputationChangesNoBit) {
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    const MicroBatch batch = make_batch();
    Held keeps(GetParam().shape, dtype);
    const double loss = keeps.step(batch);
    for (const Recompute recompute : {Recompute::kSelective, Recompute::kFull}) {
      Held again(GetParam().shape, dtype, {},
                 {.tensor = nullptr, .recompute = recompute, .hooks = {}});
      EXPECT_EQ(again.step(batch), loss);
      EXPECT_TRUE(again.gradient_bytes() == keeps.gradient_bytes());
      const std::int64_t before = again.model->tape().num_system_allocations();
      EXPECT_EQ(again.step(batch), loss);
      EXPECT_TRUE(again.gradient_bytes() == keeps.gradient_bytes());
      EXPECT_EQ(again.model->tape().num_system_allocations(), before);
      EXPECT_EQ(again.model->forward_loss(batch, 64), loss);
    }
  }
}

// Kept elements per token and layer: x, q, k, v, O, x2, gate, up, the smallest set without a second
// GEMM, are 2 C + (2 H + 2 K) D + 2 F; keeping norm outputs and SwiGLU, as tensor-parallel ranks do
// to send less, adds 2 C + F.
TEST(Recompute, KeepsWhatTheFormulaSays) {
  const Shape4 shape{.heads = 4, .kv_heads = 2};
  const auto per_layer = [&](Recompute recompute, Group* tensor = nullptr) {
    const auto bytes = [&](int layers) {
      Shape4 deep = shape;
      deep.layers = layers;
      ModelPart part;
      if (tensor != nullptr) {
        part.tensor_rank = tensor->rank();
        part.tensor_size = tensor->size();
      }
      Held held(deep, DType::kF32, part, {.tensor = tensor, .recompute = recompute, .hooks = {}});
      (void)held.step(make_batch());
      return static_cast<std::int64_t>(held.model->tape().activation_bytes());
    };
    return (bytes(9) - bytes(5)) / 4 / 64 / 4;  // elements per token
  };
  const std::int64_t width = 16;
  const std::int64_t minimal = 2 * width + (2 * 4 + 2 * 2) * 6 + 2 * 24;
  const std::int64_t statistics = 4 + 2;  // log-sum-exp per head, a reciprocal per norm
  EXPECT_EQ(per_layer(Recompute::kNone), minimal + statistics);
  EXPECT_EQ(per_layer(Recompute::kSelective), minimal + statistics);
  EXPECT_EQ(per_layer(Recompute::kFull), width);
  run_local_ranks(2, [&](Group& group) {
    set_num_threads(1);
    // Half of all but the norms' outputs; each rank's rows of the stream.
    EXPECT_EQ(per_layer(Recompute::kNone, &group) - per_layer(Recompute::kSelective, &group),
              2 * width + 24 / 2);
  });
}

struct Event {
  int unit;
  bool backward;
  bool enter;
  friend bool operator==(const Event&, const Event&) = default;
};

std::vector<Event> events_of(const Shape4& shape, Recompute recompute, const ModelPart& part = {}) {
  std::vector<Event> events;
  UnitHooks hooks;
  hooks.enter = [&](int unit, bool backward) { events.push_back({unit, backward, true}); };
  hooks.leave = [&](int unit, bool backward) { events.push_back({unit, backward, false}); };
  Held held(shape, DType::kF32, part, {.tensor = nullptr, .recompute = recompute, .hooks = hooks});
  (void)held.step(make_batch());
  return events;
}

std::vector<Event> pass(std::vector<int> units, bool backward) {
  std::vector<Event> events;
  for (const int unit : units) {
    events.push_back({unit, backward, true});
    events.push_back({unit, backward, false});
  }
  return events;
}

std::vector<Event> operator+(std::vector<Event> a, const std::vector<Event>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

TEST(UnitHooks, AreCalledInTheOrderOfUse) {
  for (const Recompute recompute : {Recompute::kNone, Recompute::kSelective, Recompute::kFull}) {
    // Untied: the head's unit is entered for its gradients at the loss.
    EXPECT_EQ(events_of({.tied = false}, recompute),
              pass({0, 1, 2, 3, 4}, false) + pass({4, 3, 2, 1, 0}, true));
    // Tied: the embedding's gradients are open from the loss to the end.
    const std::vector<Event> open = {{0, true, true}};
    const std::vector<Event> complete = {{0, true, false}};
    EXPECT_EQ(events_of({}, recompute),
              pass({0, 1, 2, 3, 4}, false) + open + pass({4, 3, 2, 1}, true) + complete);
    // A frozen base: the embedding has no backward pass; a tied head reads it once more.
    EXPECT_EQ(events_of({.lora = true}, recompute),
              pass({0, 1, 2, 3, 4, 0}, false) + pass({4, 3, 2, 1}, true));
    EXPECT_EQ(events_of({.tied = false, .lora = true}, recompute),
              pass({0, 1, 2, 3, 4}, false) + pass({4, 3, 2, 1}, true));
  }
}

TEST(Units, TileTheBlockAndAgreeWithTheBase) {
  for (const ModelPart& part : {ModelPart{}, ModelPart{.first_layer = 1, .has_embedding = false},
                                ModelPart{.num_layers = 1, .has_head = false},
                                ModelPart{.tensor_rank = 1, .tensor_size = 2}}) {
    Held held({.lora = true}, DType::kF32, part);
    for (const ParameterSet* set : {&held.weights, &held.method->trainable()}) {
      ASSERT_EQ(set->units().size(), held.weights.units().size());
      std::int64_t end = 0;
      for (const UnitRange& unit : set->units()) {
        EXPECT_EQ(unit.begin, end);
        end = unit.end;
      }
      EXPECT_EQ(end, set->num_elements());
      UnitBlocks blocks;
      set->split(set->flat(), blocks);
      for (int index = 0; index < set->size(); ++index) {
        EXPECT_EQ(set->view_in(blocks, index).data, set->view(index).data);
        EXPECT_EQ(set->view_in(blocks, index).shape.text(), set->local_shape(index).text());
      }
    }
    EXPECT_EQ(held.weights.units().size(),
              static_cast<std::size_t>(held.layout.num_layers()) + (part.has_embedding ? 1 : 0) +
                  (part.has_head ? 1 : 0) + (held.layout.head_is_copy() ? 1 : 0));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Models, ModelPieces,
    testing::Values(PiecesCase{"tied", {}}, PiecesCase{"untied", {.tied = false}},
                    PiecesCase{"grouped", {.kv_heads = 2}}, PiecesCase{"lora", {.lora = true}},
                    PiecesCase{"lora_untied", {.kv_heads = 1, .tied = false, .lora = true}},
                    PiecesCase{"mistral", {.kv_heads = 2, .family = "mistral"}},
                    PiecesCase{"qwen3", {.kv_heads = 2, .family = "qwen3"}},
                    PiecesCase{"gemma", {.kv_heads = 1, .family = "gemma"}},
                    PiecesCase{"gpt2", {.family = "gpt2"}},
                    PiecesCase{"gpt2_lora", {.lora = true, .family = "gpt2"}},
                    PiecesCase{"gpt_neox", {.tied = false, .family = "gpt_neox"}},
                    PiecesCase{"phi", {.kv_heads = 2, .tied = false, .family = "phi"}},
                    PiecesCase{"phi_lora", {.tied = false, .lora = true, .family = "phi"}}),
    [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace finescale
