#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# On a machine with GPUs: builds for them, runs every kernel, training steps, whole stages and NCCL against the CPU,
# compute-sanitizer when it is installed, times kernels against a copy and training steps against PyTorch when it is installed.
# Writes a dated table in Markdown, for docs/measurements.md.
#   scripts/gpu_check.sh [--bin DIR] [TABLE.md]     TABLE defaults to gpu-check-<date>.md. Exit code 3: there is no GPU
#   --bin DIR: gpu_test, finescale-worker and finescale-bench as built elsewhere for this architecture
set -euo pipefail
cd "$(dirname "$0")/.."
bin=
case ${1:-} in
  -h | --help) sed -n '3,7p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;;
  --bin) bin=$2; shift 2 ;;
esac
table=${1:-gpu-check-$(date +%F).md}
command -v nvidia-smi > /dev/null || { echo "gpu_check.sh: no nvidia-smi: is a driver installed?" >&2; exit 3; }
gpus=$(nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader) || { echo "gpu_check.sh: $gpus" >&2; exit 3; }
archs=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | tr -d . | sort -u | paste -sd';')
count=$(printf '%s\n' "$gpus" | wc -l)
log=$(mktemp -d)
trap 'rm -rf "$log"' EXIT
failed=0

if [ -z "$bin" ]; then
  bin=build-gpu/bin
  cmake --preset release -B build-gpu -DFINESCALE_CUDA=on -DFINESCALE_CUDA_ARCHS="$archs" -Wno-dev > "$log/configure"
  cmake --build build-gpu --target gpu_test finescale-worker finescale-bench -j "$(nproc)" > "$log/build" ||
    { tail -30 "$log/build" >&2; exit 4; }
fi

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
# step NAME REQUEST [LAUNCHER...]: tokens per second of training steps; without a launcher on one GPU.
step() {
  local name=$1 request=$2
  shift 2
  printf '%s' "$request" > "$log/request"
  local how=("$bin"/finescale-worker tool step)
  [ $# -eq 0 ] || how=("$@" "$bin"/finescale-worker --step "$log/request")
  if "${how[@]}" < "$log/request" > "$log/step" 2>&1; then
    row "$name" "$(grep -o '"tok_s":[0-9.]*' "$log/step" | cut -d: -f2) tokens/s, loss $(grep -o '"loss":[0-9.]*' "$log/step" | cut -d: -f2), in graphs $(grep -o '"gpu_replayed":[0-9.]*' "$log/step" | cut -d: -f2)"
  else
    row "$name" "FAILED: $(tail -1 "$log/step")"
    failed=1
  fi
}

printf '# GPU check of %s, commit %s\n\n%s\n\n| what | result |\n| --- | --- |\n' \
  "$(date +%F)" "$(git rev-parse --short HEAD 2> /dev/null || echo unknown)" "$gpus" > "$table"
check "kernels against double precision" "$bin"/gpu_test --gtest_filter='Parity.*'
check "operations with libraries" "$bin"/gpu_test --gtest_filter='*Operations*:*AttentionOnGpu*'
check "20 training steps against the CPU" "$bin"/gpu_test --gtest_filter='*GpuTraining*'
check "stages by device" "$bin"/gpu_test --gtest_filter='GpuStages.*'
[ "$count" -lt 2 ] || check "two ranks over NCCL against the CPU" "$bin"/gpu_test --gtest_filter='*TwoGpus*'
if command -v compute-sanitizer > /dev/null; then
  for tool in memcheck racecheck synccheck; do
    check "compute-sanitizer $tool" compute-sanitizer --tool "$tool" --error-exitcode 1 \
      "$bin"/gpu_test --gtest_filter='*Operations*:*GpuTraining.HasTheLosses*/0'
  done
else
  row "compute-sanitizer" "not installed"
fi

lengths='"lengths": [512, 300, 700, 536], "sequences_per_step": 16'
long='"lengths": [2048], "sequences_per_step": 8'
common="\"device\": \"cuda\", \"steps\": 12, \"warmup\": 4, \"micro_batch_tokens\": 8192, \"threads\": $(($(nproc) / count))"
for shape in small smollm2-135m llama-1b; do
  [ $shape = llama-1b ] && lengths=$long
  for precision in f32 bf16; do
    for method in full lora qlora; do
      request="{\"preset\": \"$shape\", \"method\": \"$method\", \"precision\": \"$precision\", $lengths, $common"
      step "$shape, $method, $precision, one GPU" "$request}"
      [ "$count" -lt 2 ] || step "$shape, $method, $precision, $count GPUs" "$request, \"mesh\": \"{data: $count}\"}" \
        mpirun --allow-run-as-root -n "$count"
    done
  done
done
# Rows of one length, so that steps repeat: what CUDA graphs save.
lengths='"lengths": [512], "sequences_per_step": 16'
for shape in small smollm2-135m; do
  for graphs in on off on off; do
    FINESCALE_GPU_GRAPHS=$graphs step "$shape, full, bf16, one GPU, rows of 512 tokens, graphs $graphs" \
      "{\"preset\": \"$shape\", \"method\": \"full\", \"precision\": \"bf16\", $lengths, $common}"
  done
done
{
  printf '\n'
  "$bin"/finescale-bench gpu | sed 's/^/    /'
  printf '\n'
  scripts/bench_gpu_peers.py --bin "$bin" 2>&1 | sed 's/^/    /'
} >> "$table"
cat "$table"
exit $failed
