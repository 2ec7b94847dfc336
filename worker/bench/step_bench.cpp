// SPDX-License-Identifier: Apache-2.0
#include "worker/bench/step_bench.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "comm/group.h"
#include "core/parallel.h"
#include "core/random.h"
#include "kernels/bench/library_gemm.h"
#include "kernels/bench/roofline.h"
#include "kernels/kernel_profile.h"
#include "worker/tool/step_tool.h"

namespace finescale::bench {

namespace {

struct StepOptions {
  std::string preset = "small";
  std::string method = "full";
  std::string precision = "f32";
  std::string lengths = "ragged";
  int tokens = 4096;
  int steps = 20;
  int threads = 1;
  int micro_batch_tokens = 2048;
  bool json = false;
};

// Lengths of examples: log-normal with median 48 and sigma 0.8 between 8 and 256, as real sets have
// them, or all 256.
std::vector<int> lengths_of(const StepOptions& options, int count) {
  std::vector<int> lengths(static_cast<std::size_t>(count), 256);
  if (options.lengths == "ragged") {
    Random random(20, Purpose::kTest);
    for (int& length : lengths) {
      length = static_cast<int>(std::lround(48 * std::exp(0.8 * random.normal())));
      length = std::clamp(length, 8, 256);
    }
  }
  return lengths;
}

// What the machine could do: a row's least time of one call, in seconds.
struct Least {
  double composed;  // FLOPs at the library's rate for the shape, bytes at the memory's
  double cached;    // bytes at the rate of a working set of that size instead
};

Least least_of(const KernelProfile::Row& row, double mean_length) {
  const double flops = row.flops / static_cast<double>(row.calls);
  const double bytes = row.bytes / static_cast<double>(row.calls);
  const bool product = row.name.starts_with("gemm");
  double compute = 0;
  if (product) {
    compute = flops / library_gemm_rate(row.name.ends_with("_tn"), row.name.ends_with("_nt"),
                                        row.shape[0], row.shape[1], row.shape[2]);
  } else if (flops > 0) {  // attention: scores of one segment
    const auto length = static_cast<std::int64_t>(mean_length);
    compute = flops / library_gemm_rate(false, true, length, length, row.shape[2]);
  }
  if (product) {
    return {compute, compute};
  }
  const auto working_set = static_cast<std::size_t>(std::max(bytes, 1.0));
  return {compute + bytes / bandwidth(std::size_t{1} << 28),
          compute + bytes / bandwidth(working_set)};
}

// Micro-batches of ragged examples differ in their number of tokens: rows of one kernel whose
// extents are nearly the same become one, under the largest.
std::vector<KernelProfile::Row> merged(const std::vector<KernelProfile::Row>& rows) {
  constexpr double kNearly = 0.15;
  std::vector<KernelProfile::Row> out;
  for (const KernelProfile::Row& row : rows) {
    const auto is_near = [&](const KernelProfile::Row& other) {
      bool near = row.name == other.name;
      for (std::size_t i = 0; i < row.shape.size(); ++i) {
        const auto [less, more] = std::minmax(row.shape[i], other.shape[i]);
        near = near && static_cast<double>(more - less) <= kNearly * static_cast<double>(more);
      }
      return near;
    };
    const auto found = std::find_if(out.begin(), out.end(), is_near);
    if (found == out.end()) {
      out.push_back(row);
      continue;
    }
    for (std::size_t i = 0; i < row.shape.size(); ++i) {
      found->shape[i] = std::max(found->shape[i], row.shape[i]);
    }
    found->calls += row.calls;
    found->seconds += row.seconds;
    found->flops += row.flops;
    found->bytes += row.bytes;
  }
  return out;
}

std::string shape_text(const KernelProfile::Row& row) {
  std::string text;
  for (const std::int64_t extent : row.shape) {
    if (extent > 0) {
      text += (text.empty() ? "" : " x ") + std::to_string(extent);
    }
  }
  return text;
}

nlohmann::json report(const StepOptions& options, const nlohmann::json& figures,
                      const KernelProfile& profile, double mean_length) {
  std::vector<KernelProfile::Row> rows = merged(profile.rows());
  std::sort(rows.begin(), rows.end(),
            [](const auto& a, const auto& b) { return a.seconds > b.seconds; });
  const double steps = figures.at("steps");
  const double step_ms = figures.at("ms_total").get<double>() / steps;
  double kernels_ms = 0;
  double composed_ms = 0;
  double cached_ms = 0;
  nlohmann::json table = nlohmann::json::array();
  for (const KernelProfile::Row& row : rows) {
    const Least least = least_of(row, mean_length);
    const double calls = static_cast<double>(row.calls) / steps;
    const double ms = 1e3 * row.seconds / steps;
    kernels_ms += ms;
    composed_ms += 1e3 * calls * least.composed;
    cached_ms += 1e3 * calls * least.cached;
    table.push_back({{"kernel", row.name},
                     {"shape", shape_text(row)},
                     {"calls", calls},
                     {"ms", ms},
                     {"share", ms / step_ms},
                     {"gflops", row.flops / row.seconds * 1e-9},
                     {"gbytes", row.bytes / row.seconds * 1e-9},
                     {"least_ms", 1e3 * calls * least.cached}});
  }
  return {{"preset", options.preset},
          {"method", options.method},
          {"precision", options.precision},
          {"lengths", options.lengths},
          {"threads", options.threads},
          {"isa", figures.at("isa")},
          {"tokens_per_second", figures.at("tok_s")},
          {"step_ms", step_ms},
          {"kernels_ms", kernels_ms},
          {"composed_ms", composed_ms},
          {"cached_ms", cached_ms},
          {"peak_gflops", peak_flops() * 1e-9},
          {"memory_gbytes", bandwidth(std::size_t{1} << 28) * 1e-9},
          {"cache_gbytes", bandwidth(std::size_t{1} << 18) * 1e-9},
          {"rows", table}};
}

void print(const nlohmann::json& out) {
  std::printf("%s, %s, %s, %s lengths, %d threads, %s: %.0f tokens/s\n",
              out.at("preset").get<std::string>().c_str(),
              out.at("method").get<std::string>().c_str(),
              out.at("precision").get<std::string>().c_str(),
              out.at("lengths").get<std::string>().c_str(), out.at("threads").get<int>(),
              out.at("isa").get<std::string>().c_str(), out.at("tokens_per_second").get<double>());
  std::printf("machine: %.0f GFLOP/s peak, %.0f GB/s in cache, %.0f GB/s in memory\n\n",
              out.at("peak_gflops").get<double>(), out.at("cache_gbytes").get<double>(),
              out.at("memory_gbytes").get<double>());
  std::printf("%-20s %-20s %7s %8s %6s %8s %7s %9s %6s\n", "kernel", "shape", "calls", "ms", "%",
              "GFLOP/s", "GB/s", "least ms", "% of");
  for (const nlohmann::json& row : out.at("rows")) {
    const double ms = row.at("ms");
    const double least = row.at("least_ms");
    std::printf("%-20s %-20s %7.1f %8.3f %6.1f %8.1f %7.1f %9.3f %6.0f\n",
                row.at("kernel").get<std::string>().c_str(),
                row.at("shape").get<std::string>().c_str(), row.at("calls").get<double>(), ms,
                100 * row.at("share").get<double>(), row.at("gflops").get<double>(),
                row.at("gbytes").get<double>(), least, 100 * least / ms);
  }
  const double step = out.at("step_ms");
  const double kernels = out.at("kernels_ms");
  const double composed = out.at("composed_ms");
  const double cached = out.at("cached_ms");
  std::printf(
      "\nstep %.3f ms, of it kernels %.3f ms and the rest %.3f ms\n"
      "composed roofline %.3f ms (products at the library's rate for their shape, bytes at the "
      "memory's): the step takes %.2f times that\n"
      "the same with bytes at the rate of a working set of their size: %.3f ms, %.2f times\n",
      step, kernels, step - kernels, composed, step / composed, cached, step / cached);
}

}  // namespace

int run_step_bench(int argc, char** argv) {
  StepOptions options;
  CLI::App app{"finescale-bench step: the kernels of a training step against this machine"};
  app.add_option("--preset", options.preset, "architecture of configs/presets")
      ->capture_default_str();
  app.add_option("--method", options.method, "full or lora (rank 8)")
      ->check(CLI::IsMember({"full", "lora"}))
      ->capture_default_str();
  app.add_option("--precision", options.precision, "f32, or bf16: of products")
      ->check(CLI::IsMember({"f32", "bf16"}))
      ->capture_default_str();
  app.add_option("--lengths", options.lengths, "ragged (mean 63) or fixed (256 tokens)")
      ->check(CLI::IsMember({"ragged", "fixed"}))
      ->capture_default_str();
  app.add_option("--tokens", options.tokens, "of a step, about")->capture_default_str();
  app.add_option("--steps", options.steps, "measured, after 3 of warm-up")->capture_default_str();
  app.add_option("--threads", options.threads)->capture_default_str();
  app.add_option("--micro-batch-tokens", options.micro_batch_tokens)->capture_default_str();
  app.add_flag("--json", options.json);
  CLI11_PARSE(app, argc - 1, argv + 1);
  constexpr int kWarmup = 3;
  const int per_step = std::max(1, options.tokens / (options.lengths == "ragged" ? 64 : 256));
  const std::vector<int> lengths = lengths_of(options, per_step * (options.steps + kWarmup));
  double total = 0;
  for (const int length : lengths) {
    total += length;
  }
  KernelProfile profile;
  const auto group = make_single_group();
  const nlohmann::json request = {{"preset", options.preset},
                                  {"method", options.method},
                                  {"precision", options.precision},
                                  {"lengths", lengths},
                                  {"sequences_per_step", per_step},
                                  {"steps", options.steps + kWarmup},
                                  {"warmup", kWarmup},
                                  {"threads", options.threads},
                                  {"micro_batch_tokens", options.micro_batch_tokens}};
  const auto figures = nlohmann::json::parse(step_tool(request.dump(), *group, &profile));
  const nlohmann::json out =
      report(options, figures, profile, total / static_cast<double>(lengths.size()));
  if (options.json) {
    std::printf("%s\n", out.dump(2).c_str());
  } else {
    print(out);
  }
  return 0;
}

}  // namespace finescale::bench
