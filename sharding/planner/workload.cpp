// SPDX-License-Identifier: Apache-2.0
#include "sharding/planner/workload.h"

namespace finescale::planner {

namespace {

struct Sides {
  std::int64_t in = 0, out = 0;
};

// Of q, k, v, o, gate, up, down on one tensor rank; a layer may have no gate.
std::array<Sides, 7> modules_of(const ModelShape& model, int tensor) {
  const std::int64_t c = model.hidden;
  const std::int64_t q = model.query() / tensor;
  const std::int64_t k = model.local_key(tensor);
  const std::int64_t i = model.intermediate / tensor;
  const Sides gate = model.gated ? Sides{c, i} : Sides{};
  return {Sides{c, q}, {c, k}, {c, k}, {q, c}, gate, {c, i}, {i, c}};
}

}  // namespace

std::int64_t Choice::elements(const ModelShape& model, int tensor) const {
  std::int64_t sum =
      embedding.at(model, tensor) + positions.at(model, tensor) + final.at(model, tensor);
  for (const ChosenElements& layer : layers) {
    sum += layer.at(model, tensor);
  }
  return sum;
}

double MethodShape::quantised_bytes(const ModelShape& model, int tensor) const {
  constexpr std::int64_t kBlock = 64;  // of a row
  double bytes = 0;
  for (const Sides& sides : modules_of(model, tensor)) {
    bytes += block_bytes * static_cast<double>(sides.out * ((sides.in + kBlock - 1) / kBlock));
  }
  return bytes;
}

std::int64_t MethodShape::trained(const ModelShape& model, int tensor) const {
  if (choice) {
    return choice->elements(model, tensor);
  }
  return trains_base ? model.parameters()
                     : model.layers * adapters_of_layer(model, tensor) + prompt_elements(model);
}

std::int64_t MethodShape::adapters_of_layer(const ModelShape& model, int tensor) const {
  if (trains_base || choice) {
    return 0;
  }
  const std::array<Sides, 7> modules = modules_of(model, tensor);
  std::int64_t elements =
      branch_width * model.hidden * 2 * branches +
      (virtual_rows || encoder_width > 0 ? 0 : virtual_tokens * 2 * model.local_key(tensor));
  for (std::size_t i = 0; i < modules.size(); ++i) {
    if (is_scaled) {
      elements += targets[i] && modules[i].out > 0 ? rank + modules[i].out : 0;
      continue;
    }
    elements += targets[i] ? rank * (modules[i].in + modules[i].out) : 0;
    elements += outputs[i] ? modules[i].out : 0;
    elements += inputs[i] ? modules[i].in : 0;
  }
  return elements;
}

namespace {

// q k v; o; gate up; down.
constexpr std::array<std::array<std::size_t, 2>, 4> kStacks = {{{0, 3}, {3, 4}, {4, 6}, {6, 7}}};

}  // namespace

std::int64_t MethodShape::projected_columns() const noexcept {
  if (trains_base || choice) {
    return 0;
  }
  if (!is_scaled) {
    return rank * num_targets();
  }
  std::int64_t stacks = 0;
  for (const auto& [first, last] : kStacks) {
    stacks += std::count(targets.begin() + first, targets.begin() + last, true) > 0 ? 1 : 0;
  }
  return rank * stacks;
}

double MethodShape::forward_products(const ModelShape& model, int tensor) const {
  if (virtual_tokens > 0) {  // they are attended to
    return 0;
  }
  if (!is_scaled) {
    return static_cast<double>(adapters_of_layer(model, tensor) +
                               constants_of_layer(model, tensor));
  }
  const std::array<Sides, 7> modules = modules_of(model, tensor);
  std::int64_t products = 0;
  for (const auto& [first, last] : kStacks) {
    std::int64_t rows = 0;
    for (std::size_t i = first; i < last; ++i) {
      rows += targets[i] ? modules[i].out : 0;
    }
    products += rows > 0 ? rank * (modules[last - 1].in + rows) : 0;
  }
  return static_cast<double>(products);
}

// Of a branch that trains forward, for its input, and for itself; A of a scaled one is left out.
double MethodShape::products(const ModelShape& model) const {
  if (virtual_tokens > 0) {
    return 0;
  }
  if (!is_scaled) {
    return 3.0 * static_cast<double>(adapters_of_layer(model)) +
           2.0 * static_cast<double>(constants_of_layer(model));
  }
  const std::array<Sides, 7> modules = modules_of(model, 1);
  std::int64_t rows = 0;
  for (std::size_t i = 0; i < modules.size(); ++i) {
    rows += targets[i] ? modules[i].out : 0;
  }
  return 2 * forward_products(model) + static_cast<double>(rank * rows);
}

std::int64_t MethodShape::random_elements(const ModelShape& model) const {
  std::int64_t widest = 0;
  std::int64_t tallest = 0;
  const std::array<Sides, 7> modules = modules_of(model, 1);
  for (std::size_t i = 0; is_scaled && i < modules.size(); ++i) {
    widest = std::max(widest, targets[i] ? modules[i].in : 0);
    tallest = std::max(tallest, targets[i] ? modules[i].out : 0);
  }
  const std::int64_t made =  // and the network's inner values, with their gradients
      encoder_width > 0 ? 2 * virtual_tokens * (encoder_width + 2 * model.layers * model.key()) : 0;
  return rank * (widest + tallest) + made;
}

std::int64_t MethodShape::made_elements(const ModelShape& model, int tensor) const {
  const std::array<Sides, 7> modules = modules_of(model, tensor);
  std::int64_t most = 0;
  for (const auto& [first, last] : kStacks) {
    std::int64_t rows = 0;
    std::int64_t largest = 0;
    for (std::size_t i = first; is_scaled && i < last; ++i) {
      const std::int64_t out = targets[i] ? modules[i].out : 0;
      rows += out;
      largest = std::max(largest, out);
    }
    most = std::max(most, rank * (rows + largest));
  }
  return most;
}

std::int64_t MethodShape::constants_of_layer(const ModelShape& model, int tensor) const {
  const std::array<Sides, 7> modules = modules_of(model, tensor);
  std::int64_t elements = 0;
  for (std::size_t i = 0; i < modules.size(); ++i) {
    elements += targets[i] ? frozen_rank * (modules[i].in + modules[i].out) : 0;
  }
  return elements;
}

const char* word(Recompute recompute) noexcept {
  switch (recompute) {
    case Recompute::kNone:
      return "none";
    case Recompute::kSelective:
      return "selective";
    case Recompute::kFull:
      return "full";
  }
  return "";
}

const char* word(Offload offload) noexcept {
  switch (offload) {
    case Offload::kNone:
      return "none";
    case Offload::kHost:
      return "host";
    case Offload::kDisk:
      return "disk";
  }
  return "";
}

std::string axes_text(const Axes& axes) {
  std::string text;
  const auto add = [&](const char* name, int size) {
    if (size > 1) {
      text += (text.empty() ? "" : " x ") + std::string(name) + " " + std::to_string(size);
    }
  };
  add("data", axes.data);
  add("shard", axes.shard);
  add("tensor", axes.tensor);
  add("pipeline", axes.pipeline);
  return text.empty() ? "1 rank" : text;
}

namespace {

double teacher_flops(const Workload& w) {
  if (!w.teacher) {
    return 0;
  }
  const ModelShape& m = *w.teacher;
  const auto layers = static_cast<double>(m.layers);
  return 2 * w.batch.tokens *
         (layers * (static_cast<double>(m.layer_matrices()) +
                    static_cast<double>(m.query()) * w.batch.context) +
          w.batch.label_fraction * static_cast<double>(m.embedding()));
}

}  // namespace

Workload teacher_workload(const Workload& w) {
  Workload teacher = w;
  teacher.model = *w.teacher;
  teacher.teacher.reset();
  teacher.method = {};
  teacher.method.trains_base = false;
  teacher.method.targets = {};
  teacher.keeps_base = teacher.keeps_best = teacher.weighs_tokens = false;
  teacher.update_bytes = 0;
  teacher.bytes.rounded = 0;
  return teacher;
}

double useful_flops(const Workload& w) {
  const ModelShape& m = w.model;
  if (const auto& choice = w.method.choice) {
    const double per_token = 2 * (static_cast<double>(m.layers * m.layer_matrices()) +
                                  choice->input_work + choice->weight_work) +
                             (2 * static_cast<double>(m.layers) + 4 * choice->attention_work) *
                                 static_cast<double>(m.query()) * w.batch.context;
    return teacher_flops(w) +
           w.batch.tokens * (per_token + w.batch.label_fraction * choice->head_passes *
                                             static_cast<double>(m.embedding()));
  }
  const double passes = w.method.trains_base ? 6 : 4;
  const auto layers = static_cast<double>(m.layers);
  const double adapters = layers * w.method.products(m);
  const auto frozen = static_cast<double>(w.method.frozen_layers(m));  // 2 instead of 6
  const double per_token =
      (passes * layers - 4 * frozen) * static_cast<double>(m.layer_matrices()) + 2 * adapters +
      (6 * layers - 4 * frozen) * static_cast<double>(m.query()) *
          (w.batch.context + 2 * static_cast<double>(w.method.virtual_tokens));
  const double head = w.method.last_layers > 0 && m.tied ? 4 : passes;
  return teacher_flops(w) + w.batch.tokens * (per_token + w.batch.label_fraction * head *
                                                              static_cast<double>(m.embedding()));
}

}  // namespace finescale::planner
