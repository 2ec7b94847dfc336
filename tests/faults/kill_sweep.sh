#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Kills a sweep at every named crash point and at seeded instants, continues it with the same command, and demands the
# results of the undisturbed sweep, bit for bit, and a clean audit.
#   kill_sweep.sh BIN_DIR WORK_DIR quick|full
set -uo pipefail
source_dir=$(cd "$(dirname "$0")/../.." && pwd)
bin=$(cd "$1" && pwd)
work=$2
tier=$3
finescale=$bin/finescale
rm -rf "$work"
mkdir -p "$work"
cd "$work"
work=$PWD

. "$source_dir/tests/faults/words.sh"
write_words
write_word_sweep kill 'epochs: 2' '[1, 2]' <<'END'
tune: {fields: [train.learning_rate], per: [train.method], at: {train.data_budget: 200}, metric: held_out.loss, trials: 4}
resources: {gangs: 2, ranks_per_gang: 1, heartbeat_timeout: 20, orphan_timeout: 10, retry_delay: 0.1, max_attempts: 8}
END

# A search that decides by results goes with no tuning.
sed -e '/^tune:/d' -e 's/epochs: 2/epochs: 1, schedule: wsd/' -e '$a search: {halving: {eta: 2, per: [train.method]}}' sweep.yaml >halving.yaml
sweep=sweep.yaml

failures=0
say() { echo "kill_sweep: $*"; }

one_rank=(--set resources.gangs=2 --set resources.ranks_per_gang=1)
two_ranks=(--set resources.gangs=1 --set resources.ranks_per_gang=2)
shape=("${one_rank[@]}")

run_once() {  # run_once DIR [VAR=VALUE...]: gangs of the present shape; its code
  local out=$1
  shift
  env "$@" timeout 240 "$finescale" run "$sweep" --set output="$out" "${shape[@]}" >"$out.log" 2>&1
}

# The worker processes of a campaign whose rank is 0 (leader) or above (other).
ranks_of() {  # ranks_of DIR leader|other
  local pid rank
  for pid in $(pgrep -f "finescale-worker --campaign $work/$1 "); do
    rank=$(tr '\0' '\n' 2>/dev/null <"/proc/$pid/environ" | sed -n 's/^OMPI_COMM_WORLD_RANK=//p')
    case $2:$rank in
      leader:0 | other:[1-9]*) echo "$pid" ;;
    esac
  done
}

check() {  # check NAME DIR
  local results
  results=$("$finescale" results "$2" --json --canonical)
  if [ "$results" != "$(cat "$sweep.results")" ]; then
    say "$1: results differ"
    diff "$sweep.results" <(echo "$results") | head -5
    failures=$((failures + 1))
  elif ! "$finescale" audit "$2" >/dev/null; then
    say "$1: audit failed"
    "$finescale" audit "$2" | head -5
    failures=$((failures + 1))
  else
    say "$1: ok"
  fi
  rm -rf "$2" "$2.log"
}

for sweep in halving.yaml sweep.yaml; do
  run_once "plain-$sweep" && "$finescale" audit "plain-$sweep" || { say "the undisturbed sweep failed"; tail -20 "plain-$sweep.log"; exit 1; }
  "$finescale" results "plain-$sweep" --json --canonical >"$sweep.results"
done

points=$(sed -nE 's/^ +"((coordinator|worker)\.[a-z_]+)",?.*/\1/p' "$source_dir/core/crash_point.cpp" 2>/dev/null || true)
[ -n "$points" ] || { say "no crash points were found"; exit 1; }
[ "$tier" = quick ] && points="coordinator.after_lease coordinator.after_publish_artifact worker.after_checkpoint worker.before_commit_request"
crash_at() {  # crash_at POINT DIR: at the n-th passing; early ones hit the shared stages, later ones the trials
  local point=$1 out=$2 n=1 code again=0
  case $point in worker.before_register) ;; *commit* | *lease* | *publish* | worker.*) n=3 ;; esac
  run_once "$out" FINESCALE_CRASH_POINT="$point:$n" FINESCALE_CRASH_ONCE="$work/once-$out"
  code=$?
  [ -e "$work/once-$out" ] || { say "$point: was never passed"; failures=$((failures + 1)); }
  while [ $code -ne 0 ] && [ $again -lt 5 ]; do
    run_once "$out"
    code=$?
    again=$((again + 1))
  done
  check "$point (${shape[*]:1:1}, $again more runs)" "$out"
}

for point in $points; do
  [ "$point" != coordinator.after_search_decision ] || sweep=halving.yaml
  crash_at "$point" "crash-$point"
  sweep=sweep.yaml
done
if [ "$tier" = full ]; then
  shape=("${two_ranks[@]}")
  for point in $points; do
    case $point in worker.*) crash_at "$point" "crash2-$point" ;; esac
  done
fi

victim_of() {  # victim_of KIND DIR COORDINATOR
  case $1 in
    coordinator) echo "$3" ;;
    mpirun) pgrep -f "mpirun.*$work/$2 " | head -1 ;;
    *) ranks_of "$2" "$1" | head -1 ;;
  esac
}

# Up to five kills of one sweep, which goes on in between, as long as it has work.
instants=200 killed=0 sweeps=0
[ "$tier" = quick ] && instants=4
while [ "$killed" -lt "$instants" ]; do
  sweeps=$((sweeps + 1))
  out=instants-$sweeps
  kinds=(coordinator mpirun leader) shape=("${one_rank[@]}")
  # A gang of two ranks for the other one: both must be there to be killed.
  [ $((sweeps % 2)) -eq 1 ] || { kinds=(other leader coordinator mpirun) shape=("${two_ranks[@]}"); }
  pid='' hits=()
  while [ ${#hits[@]} -lt 5 ] && [ "$killed" -lt "$instants" ]; do
    if [ -z "$pid" ] || ! kill -0 "$pid" 2>/dev/null; then
      [ -z "$pid" ] || ! wait "$pid" || break
      setsid "$finescale" run sweep.yaml --set output="$out" "${shape[@]}" >>"$out.log" 2>&1 &
      pid=$!
    fi
    kind=${kinds[$((killed % ${#kinds[@]}))]}
    sleep "$(awk -v i="$killed.$sweeps" 'BEGIN { srand(100 * i); print 0.3 + rand() * 1.8 }')"
    victim=$(victim_of "$kind" "$out" "$pid")
    if [ -n "$victim" ] && kill -9 "$victim" 2>/dev/null; then
      killed=$((killed + 1))
      hits+=("$kind")
    elif ! kill -0 "$pid" 2>/dev/null; then
      break
    fi
  done
  wait "$pid"
  code=$?
  again=0
  while [ $code -ne 0 ] && [ $again -lt 5 ]; do
    run_once "$out"
    code=$?
    again=$((again + 1))
  done
  check "kill $killed of $instants (${hits[*]:-none}; $again more runs)" "$out"
done
say "$failures failures"
[ $failures -eq 0 ]
