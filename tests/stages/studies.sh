#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every study of configs/studies is read, its data are drawn and counted, and its stages planned; each states what it needs for a
# verdict, and docs/studies.md lists it.
#   studies.sh BIN_DIR SOURCE_DIR
set -uo pipefail
finescale=$(cd "$1" && pwd)/finescale
source=$2
export FINESCALE_SHARE=$source/configs
failures=0
fail() { echo "studies: FAILED: $*"; failures=$((failures + 1)); }

count=0
for file in "$source"/configs/studies/*.yaml; do
  name=$(basename "$file" .yaml)
  count=$((count + 1))
  plan=$("$finescale" plan "$file" --json 2>plan.log) || { fail "$name: $(tail -3 plan.log)"; continue; }
  grep -Eq '"trials": *[1-9]' <<<"$plan" || fail "$name: no trials: $plan"
  [ "$(grep -c '^  - name: ' "$file")" -ge 2 ] || fail "$name: fewer than two contrasts"
  grep -Eq '^  seed: \[1, 2, 3' "$file" || fail "$name: fewer than three seeds"
  grep -Eq '^  claim: ' "$file" && grep -Eq '^  notes:' "$file" || fail "$name: a claim and notes are missing"
  number=$((10#${name%%-*}))
  grep -Eq "^\\| $number \\|.*\\*\\*study\\*\\*" "$source/docs/studies.md" || fail "$name is no study in docs/studies.md"
  grep -Eq "^\\*\\*$number, " "$source/docs/studies.md" || fail "$name has no verdict in docs/studies.md"
done
[ "$("$finescale" study | wc -l)" -eq $count ] && [ $count -ge 9 ] || fail "finescale study lists others"
echo "studies: $count studies, $failures failures"
[ $failures -eq 0 ]
