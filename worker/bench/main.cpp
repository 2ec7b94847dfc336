// SPDX-License-Identifier: Apache-2.0
// finescale-bench: kernels of the CPU or of a GPU, or a whole training step, against the roofline
// of this machine, threads and instruction set, measured in the same process.
#include <cstdio>
#include <string_view>

#include "core/error.h"
#include "core/parallel.h"
#include "kernels/bench/gpu_rows.h"
#include "kernels/bench/kernel_rows.h"
#include "worker/bench/step_bench.h"

int main(int argc, char** argv) {
  finescale::limit_spinning(argv);
  try {
    const std::string_view what = argc > 1 ? argv[1] : "";
    if (what == "step") {
      return finescale::bench::run_step_bench(argc, argv);
    }
    return what == "gpu" ? finescale::bench::run_gpu_rows(argc, argv)
                         : finescale::bench::run_kernel_rows(argc, argv);
  } catch (const finescale::Error& error) {
    std::fprintf(stderr, "%s\n", finescale::describe(error).c_str());
    return finescale::exit_code(error.kind());
  }
}
