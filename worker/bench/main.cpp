// SPDX-License-Identifier: Apache-2.0
// finescale-bench: kernels, or a whole training step, against the roofline of this machine, threads
// and instruction set, measured in the same process.
#include <cstdio>
#include <string_view>

#include "core/error.h"
#include "core/parallel.h"
#include "kernels/bench/kernel_rows.h"
#include "worker/bench/step_bench.h"

int main(int argc, char** argv) {
  finescale::limit_spinning(argv);
  try {
    const bool step = argc > 1 && std::string_view(argv[1]) == "step";
    return step ? finescale::bench::run_step_bench(argc, argv)
                : finescale::bench::run_kernel_rows(argc, argv);
  } catch (const finescale::Error& error) {
    std::fprintf(stderr, "%s\n", finescale::describe(error).c_str());
    return finescale::exit_code(error.kind());
  }
}
