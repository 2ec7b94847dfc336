#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The whole table of training beside other programs: hand-tuned PyTorch (torch_best, eager and compiled), TRL (packed and as it comes),
# transformers' Trainer; full fine-tuning and LoRA (their PEFT), ragged and fixed lengths. One line a row, as bench_peers.py explains.
#   scripts/bench_peers.sh [--quick] [OPTIONS OF bench_peers.py: --python EXE --peers DIR --isa avx2|avx512 ...]
# About an hour on two cores; --quick: 3 pairs, without SmolLM2-135M.
set -euo pipefail
here=$(dirname "$0")
quick=0
options=()
for argument in "$@"; do
  case $argument in
    --quick) quick=1 ;;
    -h | --help) sed -n '3,6p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;;
    *) options+=("$argument") ;;
  esac
done
rows() { "$here/bench_peers.py" "${options[@]}" "$@"; }
pairs=5
[ $quick = 1 ] && pairs=3
rows --pairs $pairs --opponents best --shapes tiny,small,medium --lengths ragged,fixed
rows --pairs $pairs --opponents compiled --shapes tiny,small,medium --methods full
rows --pairs $pairs --opponents trl,trl_default,trainer --shapes tiny,small,medium
[ $quick = 1 ] && exit 0
rows --pairs $pairs --opponents best,trl_default --shapes smollm2-135m
