#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A Slurm whose jobs are processes of this machine: called as sbatch, squeue or scancel, through links of these names. Its queue is the
# directory $LOCAL_SLURM: jobs/ID/{name,pid,code,state}. Files there steer it:
#   slots     how many jobs run at once (absent: all)         held/ID   job ID waits for ever
#   away      no program answers                              nonsense  squeue and sbatch answer nonsense (sbatch makes the job all the same)
set -u
queue=${LOCAL_SLURM:?}
program=$(basename "$0")
mkdir -p "$queue/jobs" "$queue/held"
exec 9>"$queue/lock"
flock 9
echo "$program $*" >>"$queue/calls"
[ ! -e "$queue/away" ] || { echo "$program: error: Unable to contact slurm controller (connect failure)" >&2; exit 1; }

alive() {  # alive JOB_DIR: a process that is no zombie
  [ -e "$1/pid" ] && [ ! -e "$1/code" ] && case $(sed 's/.*) //' "/proc/$(cat "$1/pid")/stat" 2>/dev/null) in '' | Z*) false ;; esac
}
state() {  # state JOB_DIR
  if [ -e "$1/state" ] && ! alive "$1"; then cat "$1/state"
  elif [ ! -e "$1/pid" ]; then echo PENDING
  elif alive "$1"; then echo RUNNING
  elif [ "$(cat "$1/code" 2>/dev/null)" = 0 ]; then echo COMPLETED
  elif [ -e "$1/code" ]; then echo FAILED
  else echo NODE_FAIL
  fi
}
schedule() {
  local job running=0 slots
  slots=$(cat "$queue/slots" 2>/dev/null || echo 1000000)
  for job in "$queue"/jobs/*; do
    ! alive "$job" || running=$((running + 1))
  done
  for job in "$queue"/jobs/*; do
    [ -d "$job" ] && [ ! -e "$job/pid" ] && [ ! -e "$job/state" ] && [ ! -e "$queue/held/$(basename "$job")" ] || continue
    [ "$running" -lt "$slots" ] || return 0
    setsid bash -c 'SLURM_JOB_ID=$(basename "$1") bash "$1/script" >>"$(cat "$1/output")" 2>&1 9>&-; echo $? >"$1/code.new"; mv "$1/code.new" "$1/code"' - "$job" \
      </dev/null >/dev/null 2>&1 9>&- &
    echo $! >"$job/pid"
    running=$((running + 1))
  done
}

case $program in
  sbatch)
    id=$(($(cat "$queue/last" 2>/dev/null || echo 100) + 1))
    echo $id >"$queue/last"
    mkdir "$queue/jobs/$id"
    script=${!#}
    cp "$script" "$queue/jobs/$id/script"
    sed -n 's/^#SBATCH --job-name=//p' "$script" | head -1 >"$queue/jobs/$id/name"
    eval "echo $(sed -n 's/^#SBATCH --output=//p' "$script" | head -1)" | sed 's/%%/%/g' >"$queue/jobs/$id/output"
    [ ! -e "$queue/hold_next" ] || { touch "$queue/held/$id"; rm "$queue/hold_next"; }
    schedule
    [ ! -e "$queue/nonsense" ] && echo $id || echo '<html>busy</html>'
    ;;
  squeue)
    schedule
    [ ! -e "$queue/nonsense" ] || { echo '<html>busy</html>'; exit 0; }
    for job in "$queue"/jobs/*; do
      [ ! -d "$job" ] || echo "$(basename "$job")|$(state "$job")|$(cat "$job/name")"
    done
    ;;
  scancel)
    for argument; do case $argument in --jobname=*) name=${argument#*=} ;; esac; done
    for job in "$queue"/jobs/*; do
      [ "$(cat "$job/name")" = "$name" ] || continue
      case $(state "$job") in
        PENDING) echo CANCELLED >"$job/state" ;;
        RUNNING)
          echo CANCELLED >"$job/state"
          kill -TERM -- -"$(cat "$job/pid")" 2>/dev/null
          (sleep 2; kill -KILL -- -"$(cat "$job/pid")" 2>/dev/null) </dev/null >/dev/null 2>&1 9>&- &
          ;;
      esac
    done
    ;;
esac
exit 0
