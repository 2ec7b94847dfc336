#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What geometric budgets that share their trunk save: tokens, FLOPs and wall time of whole runs, with and without sharing.

  scripts/bench_trunks.py [--build DIR] [--budgets 3 5 8] [--largest 12800] [--rounds 3]

Full and LoRA on the preset tiny and words to be reversed, `schedule: wsd`, two gangs of one rank; with and without in turn. What was executed
(audit) must be what `plan` prints, to the token and the FLOP, and the results the same bits. Prints a table in Markdown; times are medians and
hold the pretraining of the base and the start of the gangs. Writes below the current directory."""
import argparse
import json
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SWEEP = """name: trunks
base:
  preset: tiny
  tokenizer: {{train: {{vocab_size: 300}}}}
  pretrain: {{data: text.jsonl, train: {{steps: 30, learning_rate: 3e-3, batch: {{tokens: 1024}}}}}}
data:
  train: train.jsonl
  eval: [{{name: held_out, path: eval.jsonl}}]
trial:
  stages:
    - train: {{learning_rate: 3e-3, batch: {{examples: 8}}, schedule: {{wsd: {{decay: 0.2}}}}}}
    - evaluate: {{metrics: [loss]}}
axes:
  train.method: [full, {{lora: {{rank: 4}}}}]
  train.data_budget: {budgets}
resources: {{gangs: 2, ranks_per_gang: 1}}
"""


def write_data(folder, examples):
    draw = random.Random(7)
    words = ["".join(draw.choice("abcdefghijkl") for _ in range(draw.randint(3, 7))) for _ in range(examples + 64)]
    pairs = [json.dumps({"prompt": word, "response": word[::-1]}) for word in words]
    (folder / "eval.jsonl").write_text("\n".join(pairs[:64]) + "\n")
    (folder / "train.jsonl").write_text("\n".join(pairs[64:]) + "\n")
    (folder / "text.jsonl").write_text("".join(json.dumps({"text": f"{word} {word[::-1]}"}) + "\n" for word in words[:700]))


def geometric(count, largest, smallest=100):
    ratio = (largest / smallest) ** (1 / (count - 1))
    return [round(smallest * ratio**place) for place in range(count)]


def finescale(options, folder, *words):
    done = subprocess.run([str(options.build.resolve() / "bin" / "finescale"), *words], cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit("bench_trunks: finescale " + " ".join(words) + ": " + (done.stderr.strip().splitlines() or ["it failed"])[-1])
    return done.stdout


def sharing(shares):
    return "--set", f"resources.share_trunks={str(shares).lower()}"


def planned_work(options, folder, shares):
    """Tokens and FLOPs. The base is pretrained once either way."""
    plan = json.loads(finescale(options, folder, "plan", "sweep.yaml", "--json", *sharing(shares)))
    return plan["train_tokens"], plan["train_flops"]


def run(options, folder, name, shares):
    """Seconds, what was executed, and the results."""
    begin = time.monotonic()
    finescale(options, folder, "run", "sweep.yaml", "--set", f"output={name}", *sharing(shares))
    seconds = time.monotonic() - begin
    audit = json.loads(finescale(options, folder, "audit", name, "--json"))
    return seconds, (audit["train_tokens"], audit["train_flops"]), finescale(options, folder, "results", name, "--json", "--canonical")


def measure(options, folder, count):
    (folder / "sweep.yaml").write_text(SWEEP.format(budgets=geometric(count, options.largest)))
    planned = {shares: planned_work(options, folder, shares) for shares in (True, False)}
    seconds, results = {True: [], False: []}, set()
    for number in range(options.rounds):
        for shares in (True, False):
            took, executed, result = run(options, folder, f"{count}-{number}-{shares}", shares)
            if executed != planned[shares]:
                sys.exit(f"bench_trunks: {count} budgets: {executed} tokens and FLOPs were executed, {planned[shares]} planned")
            seconds[shares].append(took)
            results.add(result)
    if len(results) != 1:
        sys.exit(f"bench_trunks: {count} budgets: sharing changes results")
    with_, without = (statistics.median(seconds[shares]) for shares in (True, False))
    (tokens, flops), (tokens_apart, flops_apart) = planned[True], planned[False]
    print(f"| {count} | {tokens:,.0f} | {tokens_apart:,.0f} | {flops:.3g} | {flops_apart:.3g} | {with_:.1f} s | {without:.1f} s | {with_ / without:.2f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--budgets", type=int, nargs="+", default=[3, 5, 8], help="how many")
    parser.add_argument("--largest", type=int, default=12800, help="examples")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench_trunks.", dir=".") as name:
        folder = pathlib.Path(name)
        write_data(folder, options.largest)
        print("| budgets | tokens, shared | apart | FLOPs, shared | apart | whole run, shared | apart | ratio |\n|---|---|---|---|---|---|---|---|")
        for count in options.budgets:
            measure(options, folder, count)
    return 0


if __name__ == "__main__":
    sys.exit(main())
