#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The page of `finescale serve` over a campaign that runs and one that is through: who may read it, what it says, how it ends.
#   serve.sh BIN_DIR WORK_DIR
set -uo pipefail
bin=$(cd "$1" && pwd)
work=$2
rm -rf "$work"
mkdir -p "$work"
cd "$work" || exit 1
export OMP_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
failures=0
fail() { echo "serve: FAILED: $*"; failures=$((failures + 1)); }

"$bin/finescale" init s 2>/dev/null || exit 1
cat >s/sweep.yaml <<'YAML'
name: served
base:
  architecture: {llama: {hidden_size: 32, intermediate_size: 64, num_layers: 2, num_heads: 2, vocab_size: 512, max_positions: 128}}
  tokenizer: {train: {vocab_size: 400}}
  pretrain: {data: data/text.jsonl, train: {steps: 4, learning_rate: 3e-3, batch: {tokens: 512}}}
data: {train: data/train.jsonl, eval: [{name: held_out, path: data/eval.jsonl}], max_length: 64}
trial:
  stages:
    - train: {method: full, learning_rate: 1e-3, batch: {examples: 4}}
    - evaluate: {metrics: [loss]}
axes: {train.data_budget: [100, 200, 400]}
resources: {threads_per_rank: 1}
YAML
"$bin/finescale" serve nowhere >/dev/null 2>refused
[ $? -eq 2 ] && grep -q 'no campaign is here' refused || { fail "a directory without a campaign"; cat refused; }
"$bin/finescale" run s/sweep.yaml --set output=c >run.log 2>&1 &
run=$!
for _ in $(seq 200); do [ -s c/status.json ] && break; sleep 0.1; done

"$bin/finescale" serve c >url 2>serve.log &
server=$!
trap 'kill $server $run 2>/dev/null' EXIT
for _ in $(seq 100); do [ -s url ] && break; sleep 0.1; done
python3 - "$(cat url)" <<'PY' || fail "while it runs"
import json, sys, urllib.request, urllib.error
url = sys.argv[1]
base, token = url.split("/?token=")
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
def get(path, headers={}):
    try:
        with opener.open(urllib.request.Request(base + path, headers=headers), timeout=30) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()
assert base.startswith("http://127.0.0.1:"), base
for path, headers in (("/", {}), ("/?token=" + "0" * 32, {}), ("/?token=" + token[:-1], {}), ("/status.json", {}),
                      ("/events", {}), ("/metrics", {"Authorization": "Bearer x"}),
                      ("/?token=" + token, {"Host": "elsewhere.example"})):
    code, _, text = get(path, headers)
    assert code == 403 and "wrong token" in text, (path, headers, code)
code, headers, page = get("/?token=" + token)
assert code == 200 and headers["Cache-Control"] == "no-store" and headers["Referrer-Policy"] == "no-referrer", headers
assert "script-src 'nonce-" in page and token not in page
bearer = {"Authorization": "Bearer " + token}
assert json.loads(get("/status.json", bearer)[2])["trials"]["planned"] == 3
code, headers, text = get("/metrics", bearer)
assert headers["Content-Type"].startswith("text/plain") and 'finescale_trials{campaign="served",state="planned"} 3' in text
assert get("/elsewhere?token=" + token)[0] == 404
with opener.open(base + "/events?token=" + token, timeout=30) as events:  # two of them
    for _ in range(2):
        lines = []
        while (line := events.readline().decode().rstrip("\n")):
            assert line.startswith("data: "), line
            lines.append(line[6:])
        assert json.loads("\n".join(lines))["campaign"] == "served"
PY
wait $run || { fail "the sweep"; tail -5 run.log; }
code=$(python3 -c 'import sys, urllib.request as r; print("3 of 3" if "\"done\": 3" in r.build_opener(r.ProxyHandler({})).open(sys.argv[1]).read().decode() else "other")' "$(cat url)")
[ "$code" = "3 of 3" ] || fail "the page of a campaign that is through"
if command -v chromium >/dev/null; then
  timeout 60 chromium --headless --no-sandbox --disable-gpu --user-data-dir="$work/browser" --timeout=5000 --dump-dom "$(cat url)" 2>/dev/null >dom
  grep -q '3 of 3 trials' dom || fail "the panel is not drawn"
fi
"$bin/finescale" serve c --port "$(sed -E 's/.*:([0-9]+)\/.*/\1/' url)" >/dev/null 2>taken
[ $? -eq 3 ] && grep -q 'cannot listen on port' taken || { fail "a port that is taken"; cat taken; }
kill -TERM $server
wait $server
[ $? -eq 143 ] || fail "the exit code after SIGTERM"
exit $failures
