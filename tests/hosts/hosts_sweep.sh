#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A gang over two hosts (network namespaces), led over TLS by a coordinator on a third. Whoever has not the campaign's certificate and
# token is refused with a line that says why; a dead link ends the gang within the time that the sweep file states, and another takes
# its place. The results must be those of one machine, bit for bit, and the audit clean.
#   hosts_sweep.sh BIN_DIR WORK_DIR
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../faults/harness.sh"
need_hosts
begin_test hosts_sweep "$1" "$2"
hang=6 # seconds: what the sweep file states
write_word_sweep hosts 'epochs: 8' '[1, 2, 3]' <<END
resources: {gangs: 1, ranks_per_gang: 2, threads_per_rank: 1, heartbeat_timeout: $hang, hang_timeout: $hang, orphan_timeout: 20, retry_delay: 0.1}
END
run_undisturbed plain

hosts_up 3
printf 'fsnode%d slots=1\n' 1 2 >hostfile
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_plm=rsh OMPI_MCA_plm_rsh_agent=$here/agent.sh
export OMPI_MCA_btl=self,vader,tcp OMPI_MCA_oob_tcp_if_include=10.77.9.0/24 OMPI_MCA_btl_tcp_if_include=10.77.9.0/24

# The coordinator's address must be this machine's.
"$finescale" run sweep.yaml --set output=nowhere --set resources.interface=10.77.9.77 >nowhere.log 2>&1
[ $? -eq 2 ] && grep -q 'cannot listen on 10.77.9.77' nowhere.log || fail "an address of nobody: $(tail -2 nowhere.log)"

"$finescale" run sweep.yaml --set output=out --set resources.interface=fsbridge --set resources.launcher="{mpirun: {hostfile: $work/hostfile}}" >out.log 2>&1 &
coordinator=$!
until_true 60 "the gang works" works out || { tail -5 out.log out/logs/gang-*.log; exit 1; }
say "a gang of two hosts works"

# From another host, with the certificate in the campaign directory.
"$test_hosts" on 3 "$finescale" status out | grep -q 'running' || fail "status from another host"

# Intruders: each has a directory with an address file of its own.
member() { sed -n "s/^ *\"$1\": \"\\(.*\\)\",\\{0,1\\}$/\\1/p" out/coordinator.json; }
escaped() { awk '{ printf "%s\\n", $0 }' "$1"; }
address() {  # address DIR TOKEN CA CERTIFICATE KEY, the last three as they stand in JSON
  mkdir -p "$1"
  cat >"$1/coordinator.json" <<END
{"host": "$(member host)", "port": $(sed -n 's/^ *"port": \([0-9]*\).*/\1/p' out/coordinator.json), "token": "$2", "coordinator_epoch": 1, "pid": 1,
 "machine": "$(hostname)"$([ $# -lt 3 ] || printf ', "tls": {"ca": "%s", "certificate": "%s", "key": "%s"}' "$3" "$4" "$5")}
END
}
make_authority() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 -subj "/CN=$1" -keyout "$1.key" -out "$1.pem" 2>/dev/null; }
make_certificate() {  # make_certificate NAME CA DAYS
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=gang" -keyout "$1.key" -out "$1.csr" 2>/dev/null
  openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -CAcreateserial -days "$3" -out "$1.pem" 2>/dev/null
}
make_authority other
make_certificate stranger other 9
cp out/tls/ca.pem ours.pem
cp out/tls/ca.key ours.key
make_certificate expired ours -1
token=$(member token)
ca=$(member ca)
address wrong-ca "$token" "$(escaped other.pem)" "$(escaped stranger.pem)" "$(escaped stranger.key)"
address forged "$token" "$ca" "$(escaped stranger.pem)" "$(escaped stranger.key)"
address nothing "$token" "$ca" "" ""
address expired "$token" "$ca" "$(escaped expired.pem)" "$(escaped expired.key)"
address token "0123456789abcdef" "$ca" "$(member certificate)" "$(member key)"
address plaintext "$token"
refused() {  # refused DIR WORDS
  "$test_hosts" on 3 "$bin/finescale-worker" --campaign "$work/$1" --gang 1 --orphan-timeout 2 >"$1.log" 2>&1
  local code=$?
  [ $code -eq 143 ] || fail "$1: ended with $code"
  grep -q "$2" "$1.log" || { fail "$1: does not say '$2'"; cat "$1.log"; }
}
refused wrong-ca "its certificate is not of this campaign's authority"
refused forged "the certificate to call the coordinator with"
refused nothing "the certificate to call the coordinator with: it cannot be read"
refused expired "certificate has expired"
refused token "wrong token"
refused plaintext "plaintext off loopback is refused"
# What our own program does not even send: TLS without a certificate of the campaign, and no TLS.
port=$(sed -n 's/^ *"port": \([0-9]*\).*/\1/p' out/coordinator.json)
echo | "$test_hosts" on 3 timeout 5 openssl s_client -connect 10.77.9.254:"$port" -alpn h2 -ign_eof >raw.log 2>&1
grep -qi 'alert\|certificate required\|unexpected eof' raw.log || { fail "TLS without a certificate"; tail -5 raw.log; }
kill -0 $coordinator 2>/dev/null || fail "the coordinator ended"
say "wrong authority, forged, none, expired, wrong token, plaintext: refused"

# The link of the second host dies.
until_true 60 "the gang works" works out
first=$(ls out/logs | grep -c '^gang-')
"$test_hosts" link 2 down
cut=$(date +%s.%N)
until_true 60 "the gang is given up" eval '[ "$(grep -c "gang 1: no heartbeat\|will be tried again" out.log)" -ge 1 ]'
seen=$(awk -v a="$cut" -v b="$(date +%s.%N)" 'BEGIN { printf "%.1f", b - a }')
"$test_hosts" link 2 up
until_true 60 "another gang works" works out 2
replaced=$(awk -v a="$cut" -v b="$(date +%s.%N)" 'BEGIN { printf "%.1f", b - a }')
say "dead link: given up after $seen s, the next gang works after $replaced s (hang_timeout $hang s, heartbeat_timeout $hang s; $first gang before)"
# The ranks find the hang after hang_timeout and ask each other for 5 s. An mpirun that cannot end its gang then is ended when the
# leader has been silent for heartbeat_timeout.
awk -v t="$seen" -v h=$hang 'BEGIN { exit !(t <= 2 * h + 8) }' || fail "a dead link was found after $seen s"

wait $coordinator
code=$?
[ $code -eq 0 ] || { fail "the coordinator ended with $code"; tail -20 out.log; }
check_sweep out
[ -z "$(ip netns pids fsnode1)$(ip netns pids fsnode2)$(ip netns pids fsnode3)" ] || { sleep 10; [ -z "$(ip netns pids fsnode1)$(ip netns pids fsnode2)" ] || fail "processes are left on the hosts"; }
end_test
