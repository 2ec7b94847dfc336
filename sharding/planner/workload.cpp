// SPDX-License-Identifier: Apache-2.0
#include "sharding/planner/workload.h"

namespace finescale::planner {

std::int64_t MethodShape::adapters_of_layer(const ModelShape& model, int tensor) const {
  if (trains_base || rank == 0) {
    return 0;
  }
  const std::int64_t c = model.hidden;
  const std::int64_t q = model.query() / tensor;
  const std::int64_t k = model.local_key(tensor);
  const std::int64_t i = model.intermediate / tensor;
  const std::array<std::int64_t, 7> in_plus_out = {c + q, c + k, c + k, q + c, c + i, c + i, i + c};
  std::int64_t elements = 0;
  for (std::size_t module = 0; module < targets.size(); ++module) {
    elements += targets[module] && (module != 4 || model.gated) ? rank * in_plus_out[module] : 0;
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

double useful_flops(const Workload& w) {
  const ModelShape& m = w.model;
  const double passes = w.method.trains_base ? 6 : 4;
  const auto layers = static_cast<double>(m.layers);
  const double adapters = layers * static_cast<double>(w.method.adapters_of_layer(m));
  const double per_token = passes * layers * static_cast<double>(m.layer_matrices()) +
                           6 * adapters +
                           6 * layers * static_cast<double>(m.query()) * w.batch.context;
  return w.batch.tokens *
         (per_token + w.batch.label_fraction * passes * static_cast<double>(m.embedding()));
}

}  // namespace finescale::planner
