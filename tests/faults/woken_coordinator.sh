#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A coordinator is stopped, another takes its campaign over where locks do not show (the directory is exchanged for a copy, as
# when a file server fails over), and the first one wakes up: while the other works, and when it is done. It must end and
# change nothing; the campaign must have the undisturbed one's results.
#   woken_coordinator.sh BIN_DIR WORK_DIR
set -uo pipefail
. "$(dirname "$0")/harness.sh"
begin_test woken_coordinator "$1" "$2"
write_word_sweep woken 'epochs: 1' '[1]' <<'END'
resources: {gangs: 2, ranks_per_gang: 1, heartbeat_timeout: 20, orphan_timeout: 10, retry_delay: 0.1}
END

run() { exec setsid "$finescale" run sweep.yaml --set output="$1"; }
holder() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1] + "/coordinator.json"))["pid"])' "$1" 2>/dev/null; }
is_held_by() { [ "$(holder "$1")" = "$2" ]; }
has_artifacts() { [ "$(ls "$1/artifacts" 2>/dev/null | wc -l)" -ge "$2" ]; }
has_ended() { ! kill -0 "$1" 2>/dev/null; }
# What others can see of a campaign; logs of gangs are everybody's.
picture() { find "$1" -type f ! -path "$1/logs/*" -print0 | sort -z | xargs -0 sha256sum; }
is_still() { local now && now=$(picture "$1") && sleep 0.7 && [ "$now" = "$(picture "$1")" ]; }
right() {  # right NAME DIR
  cmp <("$finescale" results "$2" --json --canonical) plain.results || fail "$1: other results"
  "$finescale" audit "$2" >audit.log || { fail "$1: audit"; cat audit.log; }
}
# The first one ends within seconds, with 3, and says why.
ended_properly() {  # ended_properly NAME PID LOG WORDS
  until_true 20 "$1: the first coordinator has ended" has_ended "$2" || kill -9 "$2"
  wait "$2"
  local code=$?
  [ $code -eq 3 ] || fail "$1: exit code $code"
  grep -q "$4" "$3" || { fail "$1: its log does not say '$4'"; tail -5 "$3"; }
}

(run plain) >plain.log 2>&1 || { cat plain.log; exit 1; }
"$finescale" results plain --json --canonical >plain.results

for when in during after; do
  out=$when
  (run "$out") >first.log 2>&1 &
  first=$!
  until_true 60 "stages are done" has_artifacts "$out" 3
  kill -STOP "$first"
  # Where locks show, nobody takes over what is stopped.
  "$finescale" run sweep.yaml --set output="$out" >refused.log 2>&1
  code=$?
  { [ $code -eq 3 ] && grep -q "process $first " refused.log; } || { fail "a second one: exit code $code"; cat refused.log; }
  until_true 30 "gangs wait for an answer" is_still "$out"  # what they write during the exchange would be lost
  cp -a "$out" copy && mv "$out" "$out.before" && mv copy "$out"
  (run "$out") >second.log 2>&1 &
  second=$!
  until_true 30 "the second one has the campaign" is_held_by "$out" "$second"
  if [ $when = during ]; then
    kill -CONT "$first"
    ended_properly during "$first" first.log "process $second "
  fi
  wait "$second" || { fail "$when: the second coordinator"; tail -5 second.log; }
  right "$when" "$out"
  if [ $when = after ]; then
    picture "$out" >before
    kill -CONT "$first"
    ended_properly after "$first" first.log 'another coordinator has had it'
    sleep 1
    cmp before <(picture "$out") || fail "the first one changed what the second one had left"
    right "after, woken" "$out"
  fi
  say "$when: ok"
done
end_test
