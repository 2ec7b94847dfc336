#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The demo's training work in a hand-tuned PyTorch loop, for comparison with the time that `finescale run` took.

  scripts/bench_demo.py CAMPAIGN [--peers DIR] [--python EXE] [--steps 60]

CAMPAIGN is the finished demo (its tokenizer and step counts are used; the data lies beside it). The loop is torch_best.py's own
model, loss and AdamW on the same token sequences: pretraining on all cores, then two single-threaded processes side by side, one
on full fine-tuning, one on LoRA. Some steps of each kind are measured and multiplied by the campaign's numbers of steps; reading,
tokenising, evaluation, checkpoints, process starts and the fits count for nothing on PyTorch's side. Exits 3 without the peers."""
import argparse
import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

LOOP = """
import sys, json, time, statistics
kind, steps, threads, campaign, peers, data = {kind!r}, {steps}, {threads}, {campaign!r}, {peers!r}, {data!r}
sys.path.insert(0, peers)
import common
common.SHAPES["demo"] = (128, 4, 4, 4, 352, 2048, 4096)
common.LR = 2e-3
sys.argv = ["torch_best.py", "--shape", "tiny", "--method", "lora" if kind == "lora" else "full", "--lengths", "ragged", "--threads", str(threads)]
source = open(peers + "/torch_best.py").read().replace("common.SHAPES[a.shape]", 'common.SHAPES["demo"]')
exec(source[:source.index("def batches()")])
exec(source[source.index("def loss_of("):source.index("def step_loss(")])
import glob
from tokenizers import Tokenizer
tokenizer = Tokenizer.from_file(sorted(glob.glob(campaign + "/artifacts/*/tokenizer.json"))[0])
def tokens(line):
    e = json.loads(line)
    text = e["text"] + "<|end|>" if "text" in e else e["prompt"] + "<|sep|>" + e["response"] + "<|end|>"
    return tokenizer.encode(text).ids[:256]
pool = []
with open(data + ("/pretrain.jsonl" if kind == "pretrain" else "/pronounce.train.jsonl")) as file:
    for line in file:
        pool.append(tokens(line))
        if len(pool) >= (4 * steps * 64 if kind == "pretrain" else 16 * steps):
            break
def cut():
    at = 0
    for _ in range(steps):
        if kind == "pretrain":
            b, n = [], 0
            while at < len(pool) and n + len(pool[at]) <= 4096:
                b.append(pool[at]); n += len(pool[at]); at += 1
        else:
            b = pool[at:at + 16]; at += 16
        yield sorted(b, key=len)
def arrays(b):  # as torch_best's batches: groups of like length, each padded to its longest
    groups, cur = [], []
    for x in b:
        if cur and len(x) > 8 and len(x) * (len(cur) + 1) > 1.12 * (sum(map(len, cur)) + len(x)): groups.append(cur); cur = []
        cur.append(x)
    groups.append(cur)
    I, Y, P = [], [], []
    for g in groups:
        w = len(g[-1])
        for x in g:
            pad = w - len(x)
            I += x + [0] * pad; Y += x[1:] + [-100] * (pad + 1); P += range(w)
    ang = torch.tensor(P)[:, None] * inv
    return torch.tensor(I), torch.tensor(Y), ang.cos()[:, None], ang.sin()[:, None], [(len(g), len(g[-1])) for g in groups]
times = []
for b in cut():
    t = time.perf_counter()
    ids, y, c, s, att = arrays(b)
    loss_of(m(ids, c, s, att), m.e, y).backward()
    opt.step(); opt.zero_grad(set_to_none=True)
    times.append(time.perf_counter() - t)
print("RESULT", statistics.median(times[3:]))
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("campaign")
    parser.add_argument("--peers", default=os.path.join(ROOT, "..", "shared", "bench", "peers"))
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--finescale", default=os.path.join(ROOT, "build", "bin", "finescale"))
    parser.add_argument("--steps", type=int, default=60)
    o = parser.parse_args()
    peers = os.path.abspath(o.peers)
    if not os.path.exists(peers + "/torch_best.py"):
        print("bench_demo: no peers' programs in " + peers, file=sys.stderr)
        sys.exit(3)
    cores = os.cpu_count()
    campaign = os.path.abspath(o.campaign)
    data = os.path.join(os.path.dirname(campaign), "data")

    def start(kind, threads):
        code = LOOP.format(kind=kind, steps=o.steps if kind == "pretrain" else 4 * o.steps, threads=threads, campaign=campaign, peers=peers, data=data)
        env = dict(os.environ, OMP_NUM_THREADS=str(threads), MALLOC_MMAP_MAX_="0", MALLOC_TRIM_THRESHOLD_="68719476736",
                   MALLOC_TOP_PAD_="268435456", MALLOC_ARENA_MAX="1")
        return subprocess.Popen([o.python, "-c", code], env=env, stdout=subprocess.PIPE, text=True)

    def finish(process):
        out = process.communicate()[0]
        if process.returncode != 0:
            sys.exit(3)
        return float(out.split("RESULT", 1)[1])

    pretrain = finish(start("pretrain", cores))
    pair = [start("full", 1), start("lora", 1)]
    full, lora = (finish(process) for process in pair)
    rows = json.loads(subprocess.run([o.finescale, "results", campaign, "--json"], capture_output=True, text=True, check=True).stdout)
    # Trials that are one (a tuned trial that was a tuning trial) have one artifact.
    steps = {"full": {}, "lora": {}}
    for row in rows:
        budget = int(row["axes"]["train.data_budget"])
        kind = "lora" if "lora" in row["axes"]["train.method"] else "full"
        steps[kind][json.dumps(row["artifacts"], sort_keys=True)] = max(60, -(-2 * budget // 16))
    n = {"pretrain": 2300000 // 4096 + 1, "full": sum(steps["full"].values()), "lora": sum(steps["lora"].values())}
    total = n["pretrain"] * pretrain + (n["full"] * full + n["lora"] * lora) / 2
    status = json.loads(subprocess.run([o.finescale, "status", campaign, "--json"], capture_output=True, text=True, check=True).stdout)
    print(f"PyTorch: pretrain {n['pretrain']} steps x {1e3 * pretrain:.1f} ms on {cores} threads; full {n['full']} x {1e3 * full:.2f} ms and "
          f"LoRA {n['lora']} x {1e3 * lora:.2f} ms, one thread each, side by side: {total:.0f} s of training alone")
    print(f"finescale run, everything: {status['elapsed_s']:.0f} s; ratio {total / status['elapsed_s']:.2f}")


if __name__ == "__main__":
    main()
