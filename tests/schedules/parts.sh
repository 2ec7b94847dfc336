#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Two ranges of seeds, run apart and one of them twice, add up to what one run of all of them counts.
#   parts.sh SCHEDULES WORK_DIR
set -euo pipefail
schedules=$1
work=$2
rm -rf "$work"
mkdir -p "$work"
counts() { sed 's/; [0-9.]* s$//'; }
"$schedules" --seed 1 --schedules 24 | counts >"$work/whole"
"$schedules" --seed 1 --schedules 12 --parts "$work/parts" >/dev/null
"$schedules" --seed 13 --schedules 12 --parts "$work/parts" >/dev/null
"$schedules" --seed 1 --schedules 12 --parts "$work/parts" >/dev/null # is there
"$schedules" --sum "$work/parts" | counts >"$work/sum"
diff "$work/whole" "$work/sum"
