# SPDX-License-Identifier: Apache-2.0
# Sourced by tests that treat a sweep badly and demand the results of the undisturbed one, bit for bit.

test_name=$(basename "$0" .sh)  # of a test that is skipped before it begins

# begin_test NAME BIN_DIR WORK_DIR: an empty WORK_DIR, entered, with the words and their sweep at hand; what ends it.
begin_test() {
  test_name=$1 bin=$(cd "$2" && pwd) work=$(realpath -m "$3")
  finescale=$bin/finescale
  failures=0 begin=$SECONDS ends=()
  trap 'for one in "${ends[@]}"; do eval "$one"; done' EXIT
  trap 'exit 1' INT TERM
  PATH=$PATH:/usr/sbin:/sbin
  [ ! -e "$work/cluster/slurm.conf" ] || "$slurm_cluster" down "$work/cluster"  # of a run that was killed
  rm -rf "$work"
  mkdir -p "$work"
  cd "$work" || exit 1
  write_words
}
at_end() { ends=("$*" "${ends[@]}"); }  # at_end COMMAND: however it ends; the last one first
end_test() {
  echo "$test_name: $failures failures after $((SECONDS - begin)) s"
  [ "$failures" -eq 0 ]
}
tests_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
slurm_cluster=$tests_dir/../scripts/slurm_test_cluster.sh
test_hosts=$tests_dir/../scripts/test_hosts.sh
. "$tests_dir/faults/words.sh"

say() { echo "$test_name: $(printf '%4d' $((SECONDS - begin))) s: $*"; }
fail() { say "FAILED: $*"; failures=$((failures + 1)); }
skip() { echo "$test_name: skipped: $*"; exit 77; }
until_true() {  # until_true SECONDS WHAT COMMAND...
  local limit=$1 what=$2 start=$SECONDS
  shift 2
  until "$@"; do
    if [ $((SECONDS - start)) -gt "$limit" ]; then
      fail "after $limit s still not: $what"
      return 1
    fi
    sleep 0.2
  done
}

need_root() { [ "$(id -u)" -eq 0 ] || skip "not root"; }
need_slurm() {  # a real one, as slurm_test_cluster.sh starts it
  need_root
  local program
  for program in munged slurmctld slurmd sbatch; do
    command -v $program >/dev/null || skip "$program is not installed (scripts/setup.sh --slurm)"
  done
  [ -d /sys/fs/cgroup ] || skip "no /sys/fs/cgroup, which slurmd needs"
}
need_hosts() {  # network namespaces, as test_hosts.sh makes them
  need_root
  command -v ip >/dev/null && command -v openssl >/dev/null || skip "ip or openssl is not installed (scripts/setup.sh --dev)"
  ip netns add fsprobe 2>/dev/null && ip netns del fsprobe || skip "no network namespaces here"
}
slurm_up() {  # slurm_up ARGUMENTS...: of slurm_test_cluster.sh, until the test ends
  at_end '"$slurm_cluster" down "$work/cluster"'
  "$slurm_cluster" up "$work/cluster" "$@" >cluster.log 2>&1 || { cat cluster.log; exit 1; }
  export SLURM_CONF=$work/cluster/slurm.conf
}
hosts_up() {  # hosts_up COUNT: of test_hosts.sh, until the test ends
  "$test_hosts" down 2>/dev/null
  at_end '"$test_hosts" down'
  "$test_hosts" up "$1" || exit 1
}
# MPI over the network of one machine that plays several nodes: shared memory would be taken for theirs.
one_machine_as_nodes() { export OMPI_MCA_btl=self,tcp OMPI_MCA_btl_tcp_if_include=lo; }

results_of() { "$finescale" results "$1" --json --canonical; }
count_trials() { "$finescale" results "$1" --csv | tail -n +2 | cut -d, -f1 | sort -u | wc -l; }
run_undisturbed() {  # run_undisturbed DIR SETTINGS...: what others are compared with
  local dir=$1
  shift
  "$finescale" run sweep.yaml --set output="$dir" "$@" >"$dir.log" 2>&1 || { fail "the undisturbed sweep"; tail -5 "$dir.log"; exit 1; }
}
check_sweep() {  # check_sweep DIR [LIKE]: results as in LIKE (plain), nothing lost or counted twice
  local like=${2:-plain}
  if [ "$(results_of "$1")" != "$(results_of "$like")" ]; then
    fail "$1: results differ from $like"
    diff <(results_of "$like") <(results_of "$1") | head -5
  fi
  "$finescale" audit "$1" >"$1.audit.log" 2>&1 || { fail "$1: audit"; head -5 "$1.audit.log"; }
}
# The campaign runs, and a gang of it has taken a step. works DIR [GANG]
works() {
  local status
  status=$("$finescale" status "$1" --json 2>/dev/null | tr -d ' \n')
  [[ $status == *'"state":"running"'* ]] && grep -qE "\"id\":${2:-[0-9]+},[^}]*\"step\":[1-9]" <<<"$status"
}
