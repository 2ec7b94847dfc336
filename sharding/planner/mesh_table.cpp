// SPDX-License-Identifier: Apache-2.0
#include "sharding/planner/mesh_table.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <limits>
#include <tuple>
#include <utility>

namespace finescale::planner {

namespace {

std::string two_digits(double value, const char* unit) {
  std::array<char, 48> text{};
  std::snprintf(text.data(), text.size(), "%.2f%s", value, unit);
  return text.data();
}

std::string size_text(double bytes) {
  return bytes < (1 << 30) ? two_digits(bytes / (1 << 20), " MiB")
                           : two_digits(bytes / (1 << 30), " GiB");
}

bool agrees(const Axes& axes, const Settled& settled) {
  return settled.data.value_or(axes.data) == axes.data &&
         settled.shard.value_or(axes.shard) == axes.shard &&
         settled.tensor.value_or(axes.tensor) == axes.tensor &&
         settled.pipeline.value_or(axes.pipeline) == axes.pipeline;
}

// Pieces on each pipeline rank that are tried.
constexpr std::array<int, 3> kInterleaves = {1, 2, 4};

std::vector<int> interleaves_of(std::span<const Workload> workloads, const Axes& axes,
                                const Settled& settled) {
  if (settled.interleave) {
    return {*settled.interleave};
  }
  std::int64_t layers = std::numeric_limits<std::int64_t>::max();
  for (const Workload& workload : workloads) {
    layers = std::min(layers, workload.model.layers);
  }
  std::vector<int> tried = {1};
  for (const int interleave : kInterleaves) {
    if (interleave > 1 && axes.pipeline > 1 && std::int64_t{interleave} * axes.pipeline <= layers) {
      tried.push_back(interleave);
    }
  }
  return tried;
}

// Levers in the order of preference at equal speed: the plainest first.
std::vector<Plan> levers_of(const Axes& axes, int interleave, Offload offload,
                            const Settled& settled) {
  std::vector<Plan> plans;
  for (int zero = axes.shard > 1 ? 1 : 0; zero <= (axes.shard > 1 ? 3 : 0); ++zero) {
    for (const Recompute recompute : {Recompute::kNone, Recompute::kSelective, Recompute::kFull}) {
      for (const bool overlap : {false, true}) {
        if (settled.recompute.value_or(recompute) == recompute &&
            settled.overlap.value_or(overlap) == overlap &&
            (overlap == settled.overlap.value_or(false) || axes.replicas() > 1)) {
          plans.push_back(
              {axes, settled.zero.value_or(zero), recompute, overlap, interleave, offload});
        }
      }
    }
    if (settled.zero) {
      break;
    }
  }
  return plans;
}

bool fits(const Memory& memory, const Machine& machine) {
  return machine.memory_per_rank <= 0 || memory.total() <= machine.memory_per_rank;
}

std::optional<Fault> fault_of(std::span<const Workload> workloads, const Plan& plan) {
  for (const Workload& workload : workloads) {
    if (auto fault = find_fault(workload.model, plan)) {
      return fault;
    }
    if (const auto fault = workload.teacher ? find_fault(*workload.teacher, plan) : std::nullopt) {
      return Fault{fault->field, "of the teacher: " + fault->message};
    }
  }
  return std::nullopt;
}

MeshRow illegal(const Plan& plan, const Fault& fault) {
  MeshRow row;
  row.plan = plan;
  row.reason = fault.message;
  return row;
}

std::vector<Pieces> pieces_of(std::span<const Workload> workloads, const Plan& plan) {
  std::vector<Pieces> pieces;
  for (const Workload& workload : workloads) {
    pieces.push_back(make_pieces(workload, plan));
  }
  return pieces;
}

MeshRow judge_legal(std::span<const Workload> workloads, const std::vector<Pieces>& pieces,
                    const Machine& machine, const Plan& plan) {
  MeshRow row;
  row.plan = plan;
  double steps = 0;
  for (std::size_t i = 0; i < workloads.size(); ++i) {
    const Workload& workload = workloads[i];
    const Memory memory = peak_memory(workload, plan, pieces[i], machine);
    row.memory = memory.total() > row.memory.total() ? memory : row.memory;
    const StepTime time = step_time(workload, plan, pieces[i], machine);
    const double before = steps;
    steps += workload.steps;
    const auto mean = [&](double StepTime::*part) {
      row.time.*part = (row.time.*part * before + time.*part * workload.steps) / steps;
    };
    for (double StepTime::*part :
         {&StepTime::compute, &StepTime::bubble, &StepTime::optimizer, &StepTime::communication,
          &StepTime::hidden, &StepTime::replica_bytes, &StepTime::tensor_bytes,
          &StepTime::pipeline_bytes}) {
      mean(part);
    }
  }
  row.verdict = fits(row.memory, machine) ? Verdict::kChosen : Verdict::kTooLarge;
  if (row.verdict == Verdict::kTooLarge) {
    row.reason = "does not fit: " + size_text(row.memory.total()) + " of " +
                 size_text(machine.memory_per_rank);
  }
  return row;
}

// The best levers of one mesh with the optimizer's state in this place.
MeshRow best_row(std::span<const Workload> workloads, const Machine& machine, const Axes& axes,
                 Offload offload, const Settled& settled) {
  MeshRow best;
  bool is_first = true;
  const auto rank = [](const MeshRow& row) {
    const bool fits_memory = row.verdict == Verdict::kChosen;
    return std::pair(static_cast<int>(row.verdict),
                     fits_memory ? row.time.total() : row.memory.total());
  };
  for (const int interleave : interleaves_of(workloads, axes, settled)) {
    const std::vector<Plan> plans = levers_of(axes, interleave, offload, settled);
    std::vector<Pieces> pieces;  // the same for all levers
    for (const Plan& plan : plans) {
      MeshRow row;
      if (const auto fault = fault_of(workloads, plan)) {
        row = illegal(plan, *fault);
      } else {
        pieces = pieces.empty() ? pieces_of(workloads, plan) : std::move(pieces);
        row = judge_legal(workloads, pieces, machine, plan);
      }
      // Less than a thousandth is no reason to prefer another lever.
      if (is_first || rank(row).first < rank(best).first ||
          (row.verdict == best.verdict && rank(row).second < 0.999 * rank(best).second)) {
        best = std::move(row);
        is_first = false;
      }
    }
  }
  return best;
}

bool is_free(const MeshRow& row, const Settled& settled) {
  return row.plan.axes.tensor == 1 || settled.may_use_tensor || settled.tensor.has_value();
}

}  // namespace

MeshRow judge(std::span<const Workload> workloads, const Machine& machine, const Plan& plan) {
  if (const auto fault = fault_of(workloads, plan)) {
    return illegal(plan, *fault);
  }
  return judge_legal(workloads, pieces_of(workloads, plan), machine, plan);
}

MeshTable make_mesh_table(std::span<const Workload> workloads, const Machine& machine, int ranks,
                          const Settled& settled) {
  MeshTable table;
  for (const Axes& axes : factorisations(ranks)) {
    if (agrees(axes, settled)) {
      table.rows.push_back(
          best_row(workloads, machine, axes, settled.offload.value_or(Offload::kNone), settled));
    }
  }
  const auto free_one_fits = [&] {
    return std::any_of(table.rows.begin(), table.rows.end(), [&](const MeshRow& row) {
      return row.verdict == Verdict::kChosen && is_free(row, settled);
    });
  };
  // The optimizer's state goes elsewhere only where nothing else makes the model fit.
  if (!settled.offload && !free_one_fits()) {
    const Offload offload = machine.host_link > 0 ? Offload::kHost : Offload::kDisk;
    for (MeshRow& row : table.rows) {
      if (row.verdict == Verdict::kTooLarge) {
        row = best_row(workloads, machine, row.plan.axes, offload, settled);
      }
    }
  }
  const bool plain_fits = free_one_fits();
  for (MeshRow& row : table.rows) {
    if (row.verdict == Verdict::kChosen && plain_fits && !is_free(row, settled)) {
      row.verdict = Verdict::kOwnNumbers;
      row.reason = "tensor > 1 has numbers of its own: write it down to use it";
    }
  }
  std::stable_sort(table.rows.begin(), table.rows.end(), [](const MeshRow& a, const MeshRow& b) {
    const auto order = [](const MeshRow& row) {
      const bool is_large = row.verdict == Verdict::kTooLarge;
      return std::tuple(static_cast<int>(row.verdict),
                        is_large ? row.memory.total() : row.time.total());
    };
    return order(a) < order(b);
  });
  for (std::size_t i = 1; i < table.rows.size(); ++i) {
    MeshRow& row = table.rows[i];
    if (row.verdict == Verdict::kChosen) {
      row.verdict = Verdict::kSlower;
      row.reason = two_digits(row.time.total() / table.rows.front().time.total(), " x the time");
    }
  }
  return table;
}

}  // namespace finescale::planner
