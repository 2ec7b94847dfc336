#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs, builds and runs all tests that this machine can run.
#   scripts/test.sh          fast tier (at most 30 minutes on two cores): release build, unit, mpi, emulated CUDA, smoke of
#                            whole sweeps, layer check, format and lint of changed files
#   scripts/test.sh --full   (up to 3 hours) also the sanitizers, kill tests at every crash point, interval coverage by
#                            simulation, all CUDA architectures, lint of every file, ten minutes of each fuzzer, two at a time
set -uo pipefail
cd "$(dirname "$0")/.."
full=0
for argument in "$@"; do
  case $argument in
    --full) full=1 ;;
    -h | --help) sed -n '3,8p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;;
    *) echo "test.sh: unknown argument $argument (try --help)" >&2; exit 2 ;;
  esac
done

jobs=$(nproc)
failed=()
step() {  # step NAME COMMAND...: runs it, prints how long it took, remembers a failure
  local name=$1 begin=$SECONDS
  shift
  echo "== $name"
  if "$@"; then
    echo "== $name: ok ($((SECONDS - begin)) s)"
  else
    failed+=("$name")
    echo "== $name: FAILED ($((SECONDS - begin)) s)"
  fi
}
slowest() {  # the ten slowest tests of a ctest log
  echo "ten slowest tests:"
  sed -nE 's/.*Test +#[0-9]+: ([^ ]+) .* +([0-9.]+) sec$/\2 s  \1/p' "$1" | sort -rn | head -10 | sed 's/^/  /'
}
run_ctest() {  # run_ctest BUILD ARGUMENTS...
  local build=$1 log
  shift
  log=$build/ctest.log
  ctest --test-dir "$build" -j "$jobs" --output-on-failure "$@" >"$log" 2>&1
  local status=$?
  if [ $status -ne 0 ]; then
    grep -vE '^ *[0-9]+/[0-9]+ Test .*Passed' "$log" | tail -400
  fi
  slowest "$log"
  grep -E 'tests passed|tests failed|Total Test time' "$log"
  return $status
}
sanitized() {  # sanitized PRESET LABELS
  cmake --preset "$1" >/dev/null && cmake --build --preset "$1" -j "$jobs" >"build-$1/build.log" 2>&1 \
    || { tail -50 "build-$1/build.log"; return 1; }
  run_ctest "build-$1" -L "$2" -LE slow
}

one_openmp_thread() {
  OMP_NUM_THREADS=1 "$@"
}

step "setup" scripts/setup.sh --dev --demo $([ $full = 1 ] && echo --slurm) || exit 3
[ ${#failed[@]} -eq 0 ] || exit 3
export CTEST_OUTPUT_ON_FAILURE=1
archs=80
[ $full = 1 ] && archs="80;90;100;120"
unity=  # a build folder that is there stays as it was configured
[ -e build/CMakeCache.txt ] || unity=-DFINESCALE_UNITY=ON
step "configure" cmake --preset release $unity -DFINESCALE_CUDA_ARCHS="$archs" -Wno-dev
step "build" cmake --build --preset release -j "$jobs"
if [ ${#failed[@]} -gt 0 ]; then
  echo "test.sh: the build failed"
  exit 1
fi
step "layers" scripts/check_layers
step "format and lint" scripts/lint.sh $([ $full = 1 ] && echo --all)
if [ $full = 1 ]; then
  step "asan and ubsan" sanitized asan "unit|cuda_emulation"
  # libgomp is not instrumented, so its barriers are invisible: threads of ours only.
  step "tsan" one_openmp_thread sanitized tsan threaded
  step "fuzzers" scripts/fuzz.sh --seconds 600 --jobs 2
  step "tests" run_ctest build
else
  step "tests" run_ctest build -LE slow
fi
if [ ${#failed[@]} -gt 0 ]; then
  echo "test.sh: FAILED: ${failed[*]}"
fi
# The summary comes last, for people and for machines.
grep -E '^[0-9]+% tests passed' build/ctest.log
[ ${#failed[@]} -eq 0 ]
