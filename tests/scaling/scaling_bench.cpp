// SPDX-License-Identifier: Apache-2.0
// scaling-bench [other program and its arguments...]
// One core, one table of 240 rows in N and D, the additive law under Huber 1e-3: seconds for 500
// starts, each polished to the end, for the search that `fit` makes instead, and per bootstrap
// replicate. Then runs the other program, which prints JSON lines with `task`, `method`, `wall_s`
// or `ms_per_replicate` and `objective`, and prints the ratios.
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "coordinator/scaling/fit.h"
#include "core/random.h"

namespace {

using finescale::FitOptions;
using finescale::Fitter;
using finescale::LawFitResult;
using finescale::LawPoint;
using finescale::LawTable;
using finescale::Purpose;
using finescale::Random;
using finescale::Theta;

constexpr int kRows = 240;
constexpr int kStarts = 500;
constexpr int kReplicates = 400;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double between(Random& random, double low, double high) {
  return low + (high - low) * random.uniform();
}

// Sizes, compute and noise of the public Chinchilla table: N of 4e7 to 1.6e10, 6e18 to 3e21 FLOPs,
// errors of .4% with the tails of a t distribution of 4 degrees of freedom.
LawTable make_table() {
  Random random(1, Purpose::kSimulation, 0);
  std::vector<LawPoint> points;
  for (int i = 0; i < kRows; ++i) {
    LawPoint p;
    p.N = std::exp(between(random, std::log(4e7), std::log(1.6e10)));
    const double compute = std::exp(between(random, std::log(6e18), std::log(3e21)));
    p.D = std::clamp(compute / (6 * p.N), 1e8, 1e12);
    double chi = 0;
    for (int k = 0; k < 4; ++k) {
      const double z = random.normal();
      chi += z * z;
    }
    p.loss = (1.81722 + 477.83 / std::pow(p.N, 0.347310) + 2143.4 / std::pow(p.D, 0.367172)) *
             std::exp(0.004 * random.normal() / std::sqrt(chi / 4));
    points.push_back(p);
  }
  return finescale::make_law_table(points);
}

// The grid of the published fits: a, b of 0 to 25, e of -1 to 1, exponents of 0 to 2.
std::vector<Theta> make_starts() {
  Random random(2, Purpose::kSimulation, 0);
  std::vector<Theta> starts;
  for (int i = 0; i < kStarts; ++i) {
    const auto pick = [&](double low, double step, std::uint64_t count) {
      return low + step * static_cast<double>(random.below(count));
    };
    const double a = pick(0, 5, 6);
    const double b = pick(0, 5, 6);
    const double e = pick(-1, 0.5, 5);
    const double alpha = pick(0, 0.5, 5);
    starts.push_back({e, a, b, alpha, pick(0, 0.5, 5)});
  }
  return starts;
}

struct Times {
  double starts_s, search_s, replicate_ms;
  double objective;
};

Times run_ours() {
  const LawTable table = make_table();
  Fitter fitter(finescale::find_law("additive"), FitOptions{});
  Times times{};
  auto start = std::chrono::steady_clock::now();
  double best = 1e300;
  int reached = 0;
  std::vector<double> objectives;
  for (const Theta& theta : make_starts()) {
    objectives.push_back(fitter.refine(table, theta).objective);
    best = std::min(best, objectives.back());
  }
  times.starts_s = seconds_since(start);
  for (const double value : objectives) {
    reached += value < best * (1 + 1e-6) ? 1 : 0;
  }
  start = std::chrono::steady_clock::now();
  const LawFitResult fit = fitter.fit(table);
  times.search_s = seconds_since(start);
  times.objective = fit.objective;
  FitOptions quick;  // as the resampling of a study
  quick.tolerance = 1e-7;
  quick.max_iterations = 60;
  Fitter again(finescale::find_law("additive"), quick);
  start = std::chrono::steady_clock::now();
  double sum = 0;
  double squares = 0;
  LawTable drawn = table;
  for (int r = 0; r < kReplicates; ++r) {
    Random random(3, Purpose::kBootstrap, static_cast<std::uint64_t>(r));
    std::fill(drawn.weight.begin(), drawn.weight.end(), 0.0);
    for (int i = 0; i < kRows; ++i) {
      drawn.weight[random.below(kRows)] += 1;
    }
    const double alpha = again.refine(drawn, fit.theta).theta[3];
    sum += alpha;
    squares += alpha * alpha;
  }
  times.replicate_ms = 1000 * seconds_since(start) / kReplicates;
  const double mean = sum / kReplicates;
  std::printf("%d starts polished: %.3f s, best objective %.8g, reached by %d\n", kStarts,
              times.starts_s, best, reached);
  std::printf("search of fit: %.4f s, objective %.8g\n", times.search_s, times.objective);
  std::printf("replicate: %.3f ms (mean of %d), deviation of alpha %.4f\n", times.replicate_ms,
              kReplicates, std::sqrt(squares / kReplicates - mean * mean));
  return times;
}

struct ClosePipe {
  void operator()(std::FILE* pipe) const { pclose(pipe); }
};

void compare(const std::string& command, const Times& ours) {
  const std::unique_ptr<std::FILE, ClosePipe> pipe(popen(command.c_str(), "r"));
  std::array<char, 4096> line{};
  while (pipe && std::fgets(line.data(), line.size(), pipe.get()) != nullptr) {
    const auto row = nlohmann::json::parse(line.data(), nullptr, false);
    if (!row.is_object() || !row.contains("method")) {
      continue;
    }
    const std::string method = row.at("method");
    if (row.contains("ms_per_replicate")) {
      const double theirs = row.at("ms_per_replicate");
      std::printf("replicate, %s: %.2f ms; ratio %.0f\n", method.c_str(), theirs,
                  theirs / ours.replicate_ms);
    } else if (row.contains("ms_per_start")) {
      const double theirs = kStarts * row.at("ms_per_start").get<double>() / 1000;
      std::printf("%d starts, %s: %.2f s; ratio %.0f polished, %.0f by the search of fit\n",
                  kStarts, method.c_str(), theirs, theirs / ours.starts_s, theirs / ours.search_s);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const Times ours = run_ours();
  std::string command;
  for (int i = 1; i < argc; ++i) {
    command += (command.empty() ? "'" : " '") + std::string(argv[i]) + "'";
  }
  if (!command.empty()) {
    compare(command, ours);
  }
  return 0;
}
