// SPDX-License-Identifier: Apache-2.0
#include "sharding/planner/legality.h"

#include <cmath>
#include <limits>

namespace finescale::planner {

namespace {

// What keeps the model from being cut in this many tensor parts, or "".
std::string obstacle(const ModelShape& m, int tensor) {
  const auto has = [](std::int64_t number, const char* what) {
    return std::to_string(number) + " " + what;
  };
  if (m.heads % tensor != 0) {
    return "the model has " + has(m.heads, "attention heads");
  }
  if (m.kv_heads % tensor != 0 && tensor % m.kv_heads != 0) {
    return "the model has " + has(m.kv_heads, "key/value heads");
  }
  if (m.intermediate % tensor != 0) {
    return "the model's intermediate_size is " + std::to_string(m.intermediate);
  }
  if (m.vocab % tensor != 0) {
    return "the model's vocab_size is " + std::to_string(m.vocab);
  }
  if (m.hidden % tensor != 0) {
    return "the model's hidden_size is " + std::to_string(m.hidden);
  }
  return "";
}

double distance(const Axes& a, const Axes& b) {
  const auto apart = [](int x, int y) {
    return std::abs(std::log2(static_cast<double>(x)) - std::log2(static_cast<double>(y)));
  };
  // Data and shard are the same split of the batch: moving ranks between them changes least.
  return 0.5 * (apart(a.data, b.data) + apart(a.shard, b.shard)) +
         apart(a.replicas(), b.replicas()) + apart(a.tensor, b.tensor) +
         apart(a.pipeline, b.pipeline);
}

}  // namespace

std::vector<int> tensor_sizes(const ModelShape& model, int at_most) {
  std::vector<int> sizes;
  for (int size = 1; size <= at_most && size <= model.heads; ++size) {
    if (obstacle(model, size).empty()) {
      sizes.push_back(size);
    }
  }
  return sizes;
}

std::string listed(const std::vector<int>& numbers) {
  std::string text;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    text += (i == 0 ? "" : i + 1 == numbers.size() ? " or " : ", ") + std::to_string(numbers[i]);
  }
  return text;
}

std::optional<Fault> find_fault(const Plan& plan) {
  if (plan.zero > 0 && plan.axes.shard == 1) {
    return Fault{"zero", "mesh.zero is " + std::to_string(plan.zero) +
                             ", but mesh.shard is 1: use zero 0, or give shard > 1"};
  }
  if (plan.interleave > 1 && plan.axes.pipeline == 1) {
    return Fault{"interleave", "mesh.interleave is " + std::to_string(plan.interleave) +
                                   ", but mesh.pipeline is 1: use interleave 1, or give pipeline "
                                   "> 1"};
  }
  return std::nullopt;
}

std::optional<Fault> find_fault(const ModelShape& model, const Plan& plan) {
  const Axes& axes = plan.axes;
  if (const std::string why = obstacle(model, axes.tensor); !why.empty()) {
    return Fault{"tensor", "mesh.tensor is " + std::to_string(axes.tensor) + ", but " + why +
                               ": use " + listed(tensor_sizes(model, 4096))};
  }
  if (axes.pipeline > model.layers) {
    return Fault{"pipeline", "mesh.pipeline is " + std::to_string(axes.pipeline) +
                                 ", but the model has " + std::to_string(model.layers) +
                                 " layers: use at most " + std::to_string(model.layers)};
  }
  if (axes.pipeline > 1 && plan.pieces() > model.layers) {
    return Fault{"interleave", "mesh.interleave is " + std::to_string(plan.interleave) +
                                   " on pipeline " + std::to_string(axes.pipeline) +
                                   ", but the model has " + std::to_string(model.layers) +
                                   " layers: use at most " +
                                   std::to_string(model.layers / axes.pipeline)};
  }
  return find_fault(plan);
}

std::vector<Axes> factorisations(int ranks) {
  std::vector<Axes> all;
  for (int pipeline = 1; pipeline <= ranks; ++pipeline) {
    for (int tensor = 1; ranks % pipeline == 0 && tensor <= ranks / pipeline; ++tensor) {
      const int replicas = ranks / pipeline / tensor;
      if (replicas * pipeline * tensor != ranks) {
        continue;
      }
      for (int shard = 1; shard <= replicas; ++shard) {
        if (replicas % shard == 0) {
          all.push_back({replicas / shard, shard, tensor, pipeline});
        }
      }
    }
  }
  return all;
}

Axes nearest_legal(const ModelShape& model, const Axes& wanted, int ranks) {
  Axes best{ranks, 1, 1, 1};
  double least = std::numeric_limits<double>::infinity();
  for (const Axes& axes : factorisations(ranks)) {
    const double d = distance(axes, wanted);
    if (d < least && !find_fault(model, {axes, 0, Recompute::kNone, false, 1})) {
      least = d;
      best = axes;
    }
  }
  return best;
}

}  // namespace finescale::planner
