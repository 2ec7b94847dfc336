#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# On a machine with GPUs: builds for them, runs every kernel, training steps and NCCL against the CPU, compute-sanitizer when
# it is installed, and times training steps. Writes a dated table in Markdown, for docs/measurements.md.
#   scripts/gpu_check.sh [TABLE.md]     TABLE defaults to gpu-check-<date>.md. Exit code 3: there is no GPU
set -euo pipefail
cd "$(dirname "$0")/.."
case ${1:-} in -h | --help) sed -n '3,5p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;; esac
table=${1:-gpu-check-$(date +%F).md}
command -v nvidia-smi > /dev/null || { echo "gpu_check.sh: no nvidia-smi: is a driver installed?" >&2; exit 3; }
gpus=$(nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader) || { echo "gpu_check.sh: $gpus" >&2; exit 3; }
archs=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | tr -d . | sort -u | paste -sd';')
count=$(printf '%s\n' "$gpus" | wc -l)
log=$(mktemp -d)
trap 'rm -rf "$log"' EXIT
failed=0

cmake --preset release -B build-gpu -DFINESCALE_CUDA=on -DFINESCALE_CUDA_ARCHS="$archs" -Wno-dev > "$log/configure"
cmake --build build-gpu --target gpu_test finescale-worker -j "$(nproc)" > "$log/build" || { tail -30 "$log/build" >&2; exit 4; }

row() { printf '| %s | %s |\n' "$1" "$2" >> "$table"; }
# check NAME COMMAND...: a row that says whether it passed; what it printed is shown when it did not.
check() {
  local name=$1
  shift
  if "$@" > "$log/check" 2>&1; then
    row "$name" "passed, $(grep -cE '^\[ +OK' "$log/check" || true) tests"
  else
    row "$name" "FAILED"
    tail -40 "$log/check" >&2
    failed=1
  fi
}
# step NAME REQUEST [LAUNCHER...]: tokens per second of training steps.
step() {
  local name=$1 request=$2
  shift 2
  printf '%s' "$request" > "$log/request"
  if "$@" build-gpu/bin/finescale-worker --step "$log/request" > "$log/step" 2>&1; then
    row "$name" "$(grep -o '"tok_s":[0-9.]*' "$log/step" | cut -d: -f2) tokens/s, loss $(grep -o '"loss":[0-9.]*' "$log/step" | cut -d: -f2)"
  else
    row "$name" "FAILED: $(tail -1 "$log/step")"
    failed=1
  fi
}

printf '# GPU check of %s, commit %s\n\n%s\n\n| what | result |\n| --- | --- |\n' \
  "$(date +%F)" "$(git rev-parse --short HEAD 2> /dev/null || echo unknown)" "$gpus" > "$table"
check "kernels against double precision" build-gpu/bin/gpu_test --gtest_filter='Parity.*'
check "operations with libraries" build-gpu/bin/gpu_test --gtest_filter='*Operations*'
check "20 training steps against the CPU" build-gpu/bin/gpu_test --gtest_filter='*GpuTraining*'
[ "$count" -lt 2 ] || check "two ranks over NCCL against the CPU" build-gpu/bin/gpu_test --gtest_filter='*TwoGpus*'
if command -v compute-sanitizer > /dev/null; then
  for tool in memcheck racecheck synccheck; do
    check "compute-sanitizer $tool" compute-sanitizer --tool "$tool" --error-exitcode 1 \
      build-gpu/bin/gpu_test --gtest_filter='*Operations*:*GpuTraining.HasTheLosses*/0'
  done
else
  row "compute-sanitizer" "not installed"
fi

lengths='"lengths": [512, 300, 700, 536], "sequences_per_step": 16, "steps": 12, "warmup": 4, "micro_batch_tokens": 8192'
for preset in small smollm2-135m; do
  for method in full lora; do
    step "$preset, $method, one GPU" "{\"preset\": \"$preset\", \"method\": \"$method\", \"device\": \"cuda\", $lengths}" mpirun --allow-run-as-root -n 1
    [ "$count" -lt 2 ] || step "$preset, $method, $count GPUs" \
      "{\"preset\": \"$preset\", \"method\": \"$method\", \"device\": \"cuda\", \"mesh\": \"{data: $count}\", $lengths}" \
      mpirun --allow-run-as-root -n "$count"
  done
done
cat "$table"
exit $failed
