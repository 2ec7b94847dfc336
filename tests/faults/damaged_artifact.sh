#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A bit flips in a committed artifact: `audit` reports it, who reads it finds it, the stage runs again, and the results are those of
# the undisturbed sweep.
#   damaged_artifact.sh BIN_DIR WORK_DIR
set -uo pipefail
source_dir=$(cd "$(dirname "$0")/../.." && pwd)
finescale=$(cd "$1" && pwd)/finescale
work=$2
rm -rf "$work"
mkdir -p "$work"
cd "$work" || exit 1
failures=0
fail() { echo "damaged_artifact: FAILED: $*"; failures=$((failures + 1)); }
must() { "$@" >last.log 2>&1 || { fail "$*"; tail -20 last.log; }; }

. "$source_dir/tests/faults/words.sh"
write_words
write_word_sweep damaged 'epochs: 1' '[1]' <<'END'
resources: {gangs: 2, ranks_per_gang: 1, retry_delay: 0.1}
END
cp sweep.yaml grown.yaml
sed -i 's/data_budget: .*/data_budget: [50]/' sweep.yaml
run() { "$finescale" run "$1.yaml" --set output="$2" "${@:3}"; }

must run grown whole
must run sweep small
# The shared base: the train stage that is no trial's result.
results=$("$finescale" results small --json)
base=
for artifact in small/artifacts/*/; do
  key=$(basename "$artifact")
  [ -e "$artifact/checkpoint.h5" ] && ! grep -q "$key" <<<"$results" && base=$key
done
[ -n "$base" ] || { fail "no base was found"; exit 1; }
file=small/artifacts/$base/checkpoint.h5
middle=$(($(stat -c %s "$file") / 2))
printf '\xff\x00\xff\x00' | dd of="$file" bs=1 seek=$middle conv=notrunc 2>/dev/null

"$finescale" audit small >last.log 2>&1 && fail "audit did not see it"
grep -q "$base" last.log || { fail "audit does not name the artifact"; cat last.log; }
must run grown small --extend
grep -q 'will be made again' last.log || { fail "nobody found it"; tail -20 last.log; }
must "$finescale" audit small
[ -d "small/artifacts/.damaged-$base" ] || fail "the damaged artifact was not kept"
# The tokenizer that every trial is made with.
cp -r whole spoilt
tokenizer=
for artifact in spoilt/artifacts/*/; do
  [ -e "$artifact/tokenizer.json" ] && [ ! -e "$artifact/checkpoint.h5" ] && tokenizer=$(basename "$artifact")
done
[ -n "$tokenizer" ] || fail "no tokenizer was found"
sed -i 's/"id"/"iD"/; s/"vocab"/"vocaB"/' "spoilt/artifacts/$tokenizer/tokenizer.json"
sed 's/seed: \[1\]/seed: [1, 2]/' grown.yaml >seeds.yaml
must run seeds spoilt --extend
grep -q 'will be made again' last.log || { fail "nobody found the spoilt tokenizer"; tail -20 last.log; }
must "$finescale" audit spoilt

# A certificate that a trial's record can be made again, and what nobody needs any more.
must "$finescale" verify-resume whole t0001
grep -q '^bit-equal' last.log || { fail "the record could not be made again"; cat last.log; }
must "$finescale" verify-resume whole t0001 --steps 0 --json
grep -q '"weights": "equal"' last.log || { fail "the weights could not be made again"; cat last.log; }
must "$finescale" prune whole --dry-run
must "$finescale" audit whole
cp -r whole pruned
must "$finescale" prune pruned
must "$finescale" audit pruned
[ "$("$finescale" results pruned --json --canonical)" = "$("$finescale" results whole --json --canonical)" ] || fail "pruning changed results"
ls pruned/artifacts | grep -q damaged && fail "prune left a damaged artifact"
must "$finescale" results pruned --tensorboard
ls pruned/tensorboard/t0001/events.out.tfevents.* >/dev/null || fail "no event file"

axes() { "$finescale" results "$1" --json --canonical | grep -v '"trial"' | sort; }
[ "$(axes small)" = "$(axes whole)" ] || { fail "results differ"; diff <(axes small) <(axes whole) | head; }
echo "damaged_artifact: $failures failures"
[ $failures -eq 0 ]
