#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# From a fresh machine to a finished sweep on real data, in one command: installs, builds, makes data, plans, runs, reports.
#   scripts/demo.sh [pronounce|gloss]     the second is the near-domain companion
# Interrupted? The same command continues. FINESCALE_DEMO_DIR is where (default runs/demo).
set -euo pipefail
cd "$(dirname "$0")/.."
sweep=pronounce
case ${1:-} in
  '' | pronounce) ;;
  gloss) sweep=gloss ;;
  -h | --help) sed -n '3,5p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;;
  *) echo "demo.sh: unknown argument $1 (try --help)" >&2; exit 2 ;;
esac
dir=${FINESCALE_DEMO_DIR:-runs/demo}
now() { date +%s; }
begin=$(now)

echo "== set-up"
scripts/setup.sh --demo
setup_done=$(now)

echo "== build"
unity=  # a build folder that is there stays as it was configured
[ -e build/CMakeCache.txt ] || unity=-DFINESCALE_UNITY=ON
cmake --preset release $unity -Wno-dev >/dev/null
cmake --build --preset release --target finescale finescale-worker -j "$(nproc)" | tail -1
build_done=$(now)

echo "== data"
mkdir -p "$dir"
[ -e "$dir/data/pretrain.jsonl" ] || scripts/demo_data.sh "$dir/data"
cp "configs/examples/$sweep.yaml" "$dir/$sweep.yaml"
data_done=$(now)

finescale=build/bin/finescale
echo "== plan"
"$finescale" plan "$dir/$sweep.yaml" --set output="$dir/$sweep"
plan_done=$(now)
echo "== run"
"$finescale" run "$dir/$sweep.yaml" --set output="$dir/$sweep"
run_done=$(now)

echo
echo "== results"
"$finescale" results "$dir/$sweep"
echo
echo "== sample words: full fine-tuning on few and on many examples"
"$finescale" samples "$dir/$sweep"
echo
"$finescale" audit "$dir/$sweep"
echo "set-up $((setup_done - begin)) s, build $((build_done - setup_done)) s, data $((data_done - build_done)) s, plan $((plan_done - data_done)) s, run $((run_done - plan_done)) s"
du -sh "$dir/$sweep" | sed 's/\t.*/ on disk/'
echo "report: $(cd "$dir/$sweep" && pwd)/report/index.html"
