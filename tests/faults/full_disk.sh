#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The disk of a campaign is full for some seconds: what could not be written is tried again, the sweep ends with the results of the
# undisturbed one. Needs to mount a tmpfs.
#   full_disk.sh BIN_DIR WORK_DIR; ends with 77 where it cannot
set -uo pipefail
source_dir=$(cd "$(dirname "$0")/../.." && pwd)
finescale=$(cd "$1" && pwd)/finescale
work=$2
rm -rf "$work"
mkdir -p "$work/disk"
cd "$work" || exit 1
mount -t tmpfs -o size=64m finescale-full-disk disk 2>/dev/null || { echo "full_disk: SKIPPED: may not mount a tmpfs"; exit 77; }
trap 'umount disk' EXIT
failures=0
fail() { echo "full_disk: FAILED: $*"; failures=$((failures + 1)); }

. "$source_dir/tests/faults/words.sh"
write_words
write_word_sweep full 'epochs: 1' '[1, 2]' <<'END'
resources: {gangs: 2, ranks_per_gang: 1, retry_delay: 0.5, retry_delay_max: 2, max_attempts: 20}
END
"$finescale" run sweep.yaml --set output=disk/plain >plain.log 2>&1 || { fail "the undisturbed sweep"; tail -20 plain.log; exit 1; }
reference=$("$finescale" results disk/plain --json --canonical)
rm -rf disk/plain

"$finescale" run sweep.yaml --set output=disk/full >full.log 2>&1 &
pid=$!
for round in 1 2 3; do
  sleep 0.8
  head -c 64m /dev/zero >"disk/filler" 2>/dev/null
  sleep 2
  rm -f disk/filler
done
wait $pid
code=$?
again=0
while [ $code -eq 3 ] && [ $again -lt 5 ]; do  # planning and decisions may end a coordinator: the same command continues
  "$finescale" run sweep.yaml --set output=disk/full >>full.log 2>&1
  code=$?
  again=$((again + 1))
done
[ $code -eq 0 ] || { fail "ended with $code"; tail -20 full.log; }
[ "$("$finescale" results disk/full --json --canonical)" = "$reference" ] || fail "results differ"
"$finescale" audit disk/full >audit.log 2>&1 || { fail "audit"; cat audit.log; }
echo "full_disk: $(grep -ci 'no space\|disk is full\|database or disk' full.log) messages, $again more runs, $failures failures"
[ $failures -eq 0 ]
