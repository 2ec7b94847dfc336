// SPDX-License-Identifier: Apache-2.0
// Every kernel at the shapes of the presets, against the roofline of this machine,
// threads and instruction set, measured in the same process.
#include "kernels/bench/kernel_rows.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "core/device.h"
#include "core/parallel.h"
#include "kernels/bench/roofline.h"
#include "kernels/bench/rows.h"

namespace finescale::bench {

void add(const std::string& name, const Work& work, std::function<void()> run) {
  benchmark::RegisterBenchmark(
      name.c_str(),
      [work, run = std::move(run)](benchmark::State& state) {
        run();  // touches all memory once
        for (auto _ : state) {
          run();
        }
        const auto rate = [&](double amount) {
          return benchmark::Counter(amount, benchmark::Counter::kIsIterationInvariantRate);
        };
        state.counters["FLOP/s"] = rate(work.flops);
        state.counters["B/s"] = rate(work.bytes);
        const double least =
            std::max(work.flops / peak_flops(),
                     work.bytes / bandwidth(static_cast<std::size_t>(
                                      work.footprint > 0 ? work.footprint : work.bytes)));
        state.counters["roofline_%"] = rate(100 * least);
      })
      ->UseRealTime()
      ->MinTime(0.1)
      ->Unit(benchmark::kMicrosecond);
}

namespace {

// Sum of all elements, by all threads: nothing but loads.
std::int64_t read_sum(const TensorView& x) {
  std::atomic<std::int64_t> total = 0;
  parallel_for(x.num_elements(), 1 << 16, [&](std::int64_t begin, std::int64_t end) {
    std::int32_t sum = 0;
    for (std::int64_t i = begin; i < end; ++i) {
      sum ^= x.as<std::int32_t>()[i];
    }
    total += sum;
  });
  return total;
}

void add_all() {
  for (const Model& m : kModels) {
    add_product_rows(m);
    add_layer_rows(m);
    add_loss_and_update_rows(m);
  }
  auto long_array = std::make_shared<std::unique_ptr<Array>>();
  add("read_memory", {0, size(std::int64_t{1} << 26)}, [=] {  // what reading weights costs at least
    if (*long_array == nullptr) {
      *long_array = std::make_unique<Array>(Shape{std::int64_t{1} << 26}, DType::kI32);
    }
    benchmark::DoNotOptimize(read_sum((*long_array)->view()));
  });
  add_decode_rows(kSmolLm2, "gate_up", 2 * kSmolLm2.F, kSmolLm2.C);
  add_decode_rows(kSmolLm2, "down", kSmolLm2.C, kSmolLm2.F);
  add_decode_rows(kSmolLm2, "o", kSmolLm2.C, kSmolLm2.C);
}

int run(int argc, char** argv) {
  int threads = 1;
  std::vector<char*> rest = {argv[0]};
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--help" || argument == "-h") {
      std::puts(
          "finescale-bench: kernels against the roofline of this machine\n"
          "  finescale-bench step --help  a whole training step instead\n"
          "  finescale-bench gpu --help   CUDA kernels on a GPU instead\n"
          "  --threads=N                  threads of the kernels and of the roofline (default 1)\n"
          "  --benchmark_filter=REGEX     e.g. 'gemm.*/small'\n"
          "  --benchmark_format=json      and the other flags of Google Benchmark\n"
          "  FINESCALE_ISA=scalar|avx2|avx512 caps the instruction set\n"
          "roofline_% is the least time (FLOPs at the measured peak, or bytes at the rate of a = b "
          "+ s a\n"
          "for a working set of that size, whichever is longer) over the time taken");
      return 0;
    }
    if (argument.starts_with("--threads=")) {
      threads = std::max(1, std::atoi(argument.c_str() + std::strlen("--threads=")));
    } else {
      rest.push_back(argv[i]);
    }
  }
  set_num_threads(threads);
  std::fprintf(stderr,
               "isa %s, %d threads, peak %.1f GFLOP/s, update %.1f GB/s in cache, %.1f in memory\n",
               isa_name(active_isa()), threads, peak_flops() / 1e9, bandwidth(1 << 18) / 1e9,
               bandwidth(1 << 28) / 1e9);
  add_all();
  int count = static_cast<int>(rest.size());
  benchmark::Initialize(&count, rest.data());
  if (benchmark::ReportUnrecognizedArguments(count, rest.data())) {
    return 2;
  }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace

int run_kernel_rows(int argc, char** argv) {
  return run(argc, argv);
}

}  // namespace finescale::bench
