#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# clang-format of every file, clang-tidy of files changed since a base (all with --all). Changes nothing.
#   scripts/lint.sh [--all] [BASE]     BASE defaults to the merge base with origin/main, else the commit before HEAD
set -euo pipefail
cd "$(dirname "$0")/.."
all=0
base=
for argument in "$@"; do
  case $argument in
    --all) all=1 ;;
    -h | --help) sed -n '3,4p' "$0" | sed 's/^# \{0,1\}//'; exit 0 ;;
    *) base=$argument ;;
  esac
done
mapfile -t sources < <(git ls-files -- '*.h' '*.cpp' '*.cu')
clang-format --dry-run -Werror "${sources[@]}"

if [ $all = 1 ]; then
  mapfile -t tidy < <(git ls-files -- core kernels comm configs sharding checkpoint worker coordinator | grep '\.cpp$')
else
  [ -n "$base" ] || base=$(git merge-base origin/main HEAD 2>/dev/null || git rev-parse HEAD~1 2>/dev/null || true)
  [ -n "$base" ] || { echo "lint.sh: no base to compare with" >&2; exit 0; }
  mapfile -t tidy < <(git diff --name-only --diff-filter=d "$base" -- core kernels comm configs sharding checkpoint worker coordinator | grep '\.cpp$' || true)
fi
if [ ${#tidy[@]} -gt 0 ]; then
  [ -f build/compile_commands.json ] || { echo "lint.sh: configure first: cmake --preset release" >&2; exit 3; }
  commands=build
  if grep -q '^FINESCALE_UNITY:BOOL=ON' build/CMakeCache.txt; then  # then no source has a command of its own
    commands=build/lint
    mkdir -p $commands
    ln -sfn ../generated $commands/generated
    cmake --preset release -B $commands -DFINESCALE_UNITY=OFF -Wno-dev >/dev/null
  fi
  printf '%s\n' "${tidy[@]}" | xargs -P "$(nproc)" -n 4 clang-tidy -p $commands --quiet 2>/dev/null
fi
