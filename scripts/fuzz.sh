#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Fuzzes the readers of files that users get from elsewhere, under AddressSanitizer and UndefinedBehaviorSanitizer. Prints a
# table; exits 1 on a finding, whose input stays in build-fuzz/findings. What was learnt stays in build-fuzz/corpus.
#   scripts/fuzz.sh [--seconds N] [--jobs N] [TARGET...]     600 seconds each, one at a time, all targets (tests/fuzz/corpus)
set -uo pipefail
cd "$(dirname "$0")/.."
seconds=600
jobs=1
targets=()
while [ $# -gt 0 ]; do
  case $1 in
    --seconds) seconds=$2; shift 2 ;;
    --jobs) jobs=$2; shift 2 ;;
    -h | --help) sed -n '3,5p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;;
    -*) echo "fuzz.sh: unknown argument $1 (try --help)" >&2; exit 2 ;;
    *) targets+=("$1"); shift ;;
  esac
done
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(ls tests/fuzz/corpus)

command -v clang++ >/dev/null || { echo "fuzz.sh: clang++ is missing: scripts/setup.sh --dev installs it" >&2; exit 3; }
cmake --preset fuzz -Wno-dev >/dev/null || exit 3
mkdir -p build-fuzz/findings build-fuzz/log
cmake --build --preset fuzz -j "$(nproc)" >build-fuzz/log/build 2>&1 || { tail -50 build-fuzz/log/build; exit 3; }

# Files that readers open by path lie in memory.
export TMPDIR
TMPDIR=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")" finescale_fuzz.XXXXXX)
trap 'rm -rf "$TMPDIR"' EXIT

# No single allocation above 256 MiB, no process above 1 GiB, no input slower than 120 s (by the clock, on a machine that may be busy); inputs are
# of at most 64 KiB.
fuzz() {  # fuzz TARGET: its row of the table
  local name=$1 log=build-fuzz/log/$1 program=build-fuzz/bin/fuzz_$1 dictionary=()
  [ -x "$program" ] || { printf '%-18s not built: what it reads with is not installed\n' "$name"; return 0; }
  [ ! -f "tests/fuzz/dictionaries/$name" ] || dictionary=("-dict=tests/fuzz/dictionaries/$name")
  mkdir -p "build-fuzz/corpus/$name"
  UBSAN_OPTIONS=print_stacktrace=1 nice -n 19 "$program" -max_total_time="$seconds" -max_len=65536 -rss_limit_mb=1024 \
    -malloc_limit_mb=256 -timeout=120 -print_final_stats=1 -artifact_prefix="build-fuzz/findings/$name-" \
    "${dictionary[@]}" "build-fuzz/corpus/$name" "tests/fuzz/corpus/$name" >"$log" 2>&1
  local status=$? found=none
  if [ $status -ne 0 ]; then
    found=$(sed -n 's/.*Test unit written to //p' "$log" | tail -1)
    found=${found:-exit code $status, see $log}
  fi
  local stat='s/^stat::number_of_executed_units: *//p'
  local rate='s/^stat::average_exec_per_sec: *//p'
  printf '%-18s %12s %8s %8s  %s\n' "$name" "$(sed -n "$stat" "$log")" "$(sed -n "$rate" "$log")" \
    "$(sed -nE 's/.* cov: ([0-9]+) .*/\1/p' "$log" | tail -1)" "$found"
  return $((status != 0))
}
export -f fuzz
export seconds
printf '%-18s %12s %8s %8s  %s\n' target executions exec/s edges finding
printf '%s\n' "${targets[@]}" | xargs -P "$jobs" -I{} bash -c 'fuzz {}' || exit 1
