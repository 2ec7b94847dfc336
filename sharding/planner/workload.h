// SPDX-License-Identifier: Apache-2.0
// What the planner reasons about, as plain numbers: a model's shape, what trains, the batches, and
// a way to lay them out over ranks. Letters: C width, Q query columns, K key columns, I
// feed-forward width, V vocabulary, L layers.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace finescale::planner {

struct ModelShape {
  std::int64_t vocab = 0;
  std::int64_t hidden = 0;
  std::int64_t layers = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t intermediate = 0;
  std::int64_t positions = 0;
  bool tied = true;
  bool gated = true;         // gate, up and down, else up and down
  bool norm_bias = false;    // LayerNorm
  bool parallel = false;     // attention and feed-forward layer side by side
  bool shared_norm = false;  // with one norm for both
  bool qk_norm = false;
  bool qkv_bias = false;
  bool o_bias = false;
  bool mlp_bias = false;
  bool head_bias = false;
  bool learned_positions = false;  // a table instead of rotations

  [[nodiscard]] std::int64_t query() const noexcept { return heads * head_dim; }
  [[nodiscard]] std::int64_t key() const noexcept { return kv_heads * head_dim; }
  // Key columns of one tensor rank: kv heads fewer than ranks are held by several of them.
  [[nodiscard]] std::int64_t local_key(int tensor) const noexcept {
    return (kv_heads + tensor - 1) / tensor * head_dim;
  }
  // Elements of the matrices of one layer on one tensor rank.
  [[nodiscard]] std::int64_t layer_matrices(int tensor = 1) const noexcept {
    return hidden * (2 * query() / tensor + 2 * local_key(tensor)) +
           matrices_of_inner() * hidden * intermediate / tensor;
  }
  // Of the vectors of one layer: those that every tensor rank holds whole, and all.
  [[nodiscard]] std::int64_t shared_vectors() const noexcept {
    return norms() * norm() + (qk_norm ? 2 * head_dim : 0) + (o_bias ? hidden : 0) +
           (mlp_bias ? hidden : 0);
  }
  [[nodiscard]] std::int64_t layer_vectors(int tensor = 1) const noexcept {
    return shared_vectors() + (qkv_bias ? query() / tensor + 2 * local_key(tensor) : 0) +
           (mlp_bias ? (matrices_of_inner() - 1) * intermediate / tensor : 0);
  }
  [[nodiscard]] std::int64_t layer(int tensor = 1) const noexcept {
    return layer_matrices(tensor) + layer_vectors(tensor);
  }
  [[nodiscard]] std::int64_t matrices_of_inner() const noexcept { return gated ? 3 : 2; }
  [[nodiscard]] std::int64_t norms() const noexcept { return shared_norm ? 1 : 2; }  // of a layer
  [[nodiscard]] std::int64_t norm() const noexcept { return norm_bias ? 2 * hidden : hidden; }
  [[nodiscard]] std::int64_t position_table() const noexcept {
    return learned_positions ? positions * hidden : 0;
  }
  // An untied head with its bias.
  [[nodiscard]] std::int64_t head(int tensor = 1) const noexcept {
    return embedding(tensor) + (head_bias ? vocab / tensor : 0);
  }
  [[nodiscard]] std::int64_t embedding(int tensor = 1) const noexcept {
    return vocab * hidden / tensor;
  }
  [[nodiscard]] std::int64_t parameters() const noexcept {
    return layers * layer() + embedding() + position_table() + (tied ? 0 : head()) + norm();
  }
};

// Elements of a unit that train, by how the tensor axis cuts them.
struct ChosenElements {
  std::int64_t cut = 0;
  std::int64_t keys = 0;      // of k and v: cut as far as there are key heads
  std::int64_t whole = 0;     // on every tensor rank
  std::int64_t idle = 0;      // of the matrices of stacks in which nothing trains
  std::int64_t measured = 0;  // of those whose gradients are summed in double precision, for masks
  [[nodiscard]] std::int64_t at(const ModelShape& model, int tensor) const noexcept {
    return cut / tensor + (keys == 0 ? 0 : keys / model.key() * model.local_key(tensor)) + whole;
  }
};

// Some tensors of the base train, as a compact copy that is written back after every update.
struct Choice {
  ChosenElements embedding, positions, final;
  std::vector<ChosenElements> layers;
  std::int64_t first_layer = 0;  // below it there is no backward pass
  double input_work = 0;         // elements of matrices whose inputs need a gradient, by token
  double weight_work = 0;        // and of those that train
  double attention_work = 0;     // layers with a backward pass of attention
  double head_passes = 2;        // 2: forward; 4, 6: its inputs, and its own
  double dense = 0;              // single elements train, with places: of the largest matrix
  [[nodiscard]] std::int64_t elements(const ModelShape& model, int tensor = 1) const;
};

// Which of q, k, v, o, gate, up, down carry an adapter of this rank; without base training.
struct MethodShape {
  bool trains_base = true;
  std::optional<Choice> choice;   // without trains_base
  std::int64_t last_layers = 0;   // with trains_base: only these train; 0: everything
  std::int64_t rank = 0;          // of a low-rank branch; 0: none
  std::int64_t frozen_rank = 0;   // of a second branch that does not train
  bool is_scaled = false;         // the branch is random and common to all, its diagonals train
  std::int64_t branch_width = 0;  // of networks behind the sublayers of a layer
  int branches = 0;
  std::int64_t virtual_tokens = 0;  // in front of every segment; their keys and values train
  bool virtual_rows = false;        // instead their embeddings: a micro-batch has so many rows more
  std::int64_t encoder_width = 0;   // or a network that makes them, of this width inside; 0: none
  double block_bytes = 0;           // of 64 elements of a layer's matrices; 0: these are whole
  std::array<bool, 7> targets = {true, true, true, true, true, true, true};
  std::array<bool, 7> outputs = {};  // whose outputs, and whose inputs, are multiplied by vectors
  std::array<bool, 7> inputs = {};

  [[nodiscard]] std::int64_t num_targets() const noexcept {
    return std::count(targets.begin(), targets.end(), true);
  }
  // Trainable elements of one layer's adapters on one tensor rank: B follows a column-split base
  // layer, A a row-split one.
  [[nodiscard]] std::int64_t adapters_of_layer(const ModelShape& model, int tensor = 1) const;
  // Layers of the whole model in front of the first that trains.
  [[nodiscard]] std::int64_t frozen_layers(const ModelShape& model) const noexcept {
    if (choice) {
      return choice->first_layer;
    }
    return last_layers > 0 ? std::max<std::int64_t>(0, model.layers - last_layers) : 0;
  }
  // Multiply-adds of a token: forward, and of all that a training step makes.
  [[nodiscard]] double forward_products(const ModelShape& model, int tensor = 1) const;
  [[nodiscard]] double products(const ModelShape& model) const;
  // With is_scaled: of the random matrices, whole on every rank, and of what is made of a stack's.
  [[nodiscard]] std::int64_t random_elements(const ModelShape& model) const;
  [[nodiscard]] std::int64_t made_elements(const ModelShape& model, int tensor = 1) const;
  // Columns of x A^T of a layer.
  [[nodiscard]] std::int64_t projected_columns() const noexcept;
  // With block_bytes: of the matrices of a layer on one tensor rank.
  [[nodiscard]] double quantised_bytes(const ModelShape& model, int tensor = 1) const;
  // What trains of virtual tokens in front of the layers: embeddings, and the network behind them;
  // whole on every tensor rank.
  [[nodiscard]] std::int64_t prompt_elements(const ModelShape& model) const noexcept {
    const std::int64_t embeddings = virtual_tokens * (virtual_rows ? model.hidden : model.key());
    const std::int64_t network =
        encoder_width * (model.key() + 1) + 2 * model.layers * model.key() * (encoder_width + 1);
    return virtual_rows ? embeddings : encoder_width > 0 ? embeddings + network : 0;
  }
  // Rows of a micro-batch besides its tokens.
  [[nodiscard]] std::int64_t rows() const noexcept { return virtual_rows ? virtual_tokens : 0; }
  // What trains of the whole model.
  [[nodiscard]] std::int64_t trained(const ModelShape& model, int tensor = 1) const;
  // The base's values change.
  [[nodiscard]] bool changes_base() const noexcept { return trains_base || choice.has_value(); }
  // Of the frozen branch.
  [[nodiscard]] std::int64_t constants_of_layer(const ModelShape& model, int tensor = 1) const;
};

struct BatchShape {
  double tokens = 4096;              // of a global batch, mean
  std::int64_t micro_batches = 2;    // of a global batch, at most
  std::int64_t micro_tokens = 2048;  // of a micro-batch, at most
  double context = 256;              // sum of squared lengths / tokens
  double label_fraction = 1;         // of the tokens: rows of the head
  bool is_weighted = false;          // tokens have weights in the loss
};

struct Bytes {  // of one element
  double weight = 4;
  double gradient = 4;
  double master = 0;     // a second copy of trained weights, in more bits
  double optimizer = 8;  // what the update rule keeps: both moments of AdamW
  double activation = 4;
  bool packed_state = false;   // expanded to two floats where it is saved
  double rounded = 0;          // a second copy of frozen matrices, for products in fewer bits
  bool rounded_alone = false;  // without the first one, but where tokens are looked up in it,
  bool rounded_table = false;  // and without that, too
};

struct Workload {
  ModelShape model;
  MethodShape method;
  BatchShape batch;
  Bytes bytes;
  bool exact_sums = true;          // gradients in one tree over micro-batches, not in one buffer
  bool sequence_parallel = false;  // activations of width C are cut over the tensor axis too
  std::int64_t logits_rows = 0;    // of a chunk of the head; 0: the engine's own rule
  double steps = 1;                // weight beside other workloads of the same gang
  bool keeps_base = false;         // a copy of the weights trains; what it is made from stays
  bool keeps_best = false;         // a second copy of what trains
  bool weighs_tokens = false;      // the loss of pairs: weights of tokens, known after their losses
  std::optional<ModelShape> teacher;  // goes through every batch first, frozen
  bool keeps_teacher = false;         // with weights of its own
  double update_bytes = 0;            // that an update rule keeps of whole tensors and works on
  std::int64_t eval_tokens = 0;       // of the largest micro-batch of an evaluation; 0: none
};

enum class Recompute { kNone, kSelective, kFull };
enum class Offload { kNone, kHost, kDisk };  // of the optimizer's state

struct Axes {
  int data = 1;
  int shard = 1;
  int tensor = 1;
  int pipeline = 1;
  [[nodiscard]] int replicas() const noexcept { return data * shard; }
  [[nodiscard]] int ranks() const noexcept { return data * shard * tensor * pipeline; }
  bool operator==(const Axes&) const = default;
};

struct Plan {  // a mesh and its levers
  Axes axes;
  int zero = 0;
  Recompute recompute = Recompute::kNone;
  bool overlap = false;
  int interleave = 1;  // pieces of the model on each pipeline rank
  Offload offload = Offload::kNone;
  [[nodiscard]] int pieces() const noexcept { return axes.pipeline * interleave; }
  bool operator==(const Plan&) const = default;
};

[[nodiscard]] const char* word(Recompute recompute) noexcept;
[[nodiscard]] const char* word(Offload offload) noexcept;
// "data 2 x shard 4": axes of size 1 are left out; "1 rank" when all are.
[[nodiscard]] std::string axes_text(const Axes& axes);

// The teacher's passes as a workload of a model of which nothing trains.
[[nodiscard]] Workload teacher_workload(const Workload& workload);

// Useful FLOPs of a step of all ranks: docs/accounting.md.
[[nodiscard]] double useful_flops(const Workload& workload);

}  // namespace finescale::planner
