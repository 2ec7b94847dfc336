#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a save costs a run: the same training with and without saves, in interleaved pairs.

  scripts/bench_saves.py [--build DIR] [--preset small] [--steps 120] [--every 12] [--pairs 5] [--threads 2]

Trains by `finescale-worker --run` on the project's documentation, once without and once with a save every so many steps, which is
far more often than anybody saves: the difference over the number of saves is the cost of one, and over 60 s the overhead at one save a
minute. Prints seconds of whole processes on both sides, bytes of a save (weights and two moments), milliseconds a save costs, and that
overhead; median and range over the pairs. Writes below the current directory, which should lie on the disk that is meant."""
import argparse
import glob
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SWEEP = """
name: saves
base:
  preset: {preset}
  tokenizer: {{train: {{vocab_size: 512}}}}
  pretrain: {{data: train.jsonl, train: {{steps: 2}}}}
data:
  train: train.jsonl
  eval: [{{name: held_out, path: eval.jsonl}}]
  max_length: 256
trial:
  stages:
    - train: {{method: full, steps: {steps}, learning_rate: 1e-3, batch: {{tokens: 4096}}, save_every: {every}}}
resources: {{threads_per_rank: {threads}}}
"""


def write_data(folder):
    text = " ".join(open(path).read() for path in sorted(glob.glob(os.path.join(ROOT, "docs", "*.md")))).split()
    for name, words in (("train", text[:-2000]), ("eval", text[-2000:])):
        with open(os.path.join(folder, name + ".jsonl"), "w") as file:
            for begin in range(0, len(words), 40):
                file.write(json.dumps({"text": " ".join(words[begin : begin + 40])}) + "\n")


def train(options, folder, name, every):
    path = os.path.join(folder, name + ".yaml")
    with open(path, "w") as file:
        file.write(SWEEP.format(preset=options.preset, steps=options.steps, every=every, threads=options.threads))
    begin = time.monotonic()
    out = subprocess.run([os.path.join(options.build, "bin", "finescale-worker"), "--run", path, "--json", "--set", f"output={folder}/{name}"],
                         capture_output=True, text=True)
    if out.returncode != 0:
        print("bench_saves: " + (out.stderr.strip().splitlines() or ["the run failed"])[-1], file=sys.stderr)
        sys.exit(3)
    return time.monotonic() - begin, json.loads(out.stdout)["train"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--preset", default="small")
    for name, value in (("steps", 120), ("every", 12), ("pairs", 5), ("threads", 2)):
        parser.add_argument("--" + name, type=int, default=value)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=os.getcwd()) as folder:
        write_data(folder)
        differences = []
        saves = (options.steps - 1) // options.every
        for pair in range(options.pairs):
            seconds = {}
            for every in ([0, options.every] if pair % 2 == 0 else [options.every, 0]):
                seconds[every], trained = train(options, folder, f"run-{pair}-{every}", every or options.steps + 1)
            differences.append((seconds[options.every] - seconds[0]) / saves)
            memory = trained["memory"][0]
            saved = memory["weights"] / 2 + memory["optimizer"]
            print(f"without {seconds[0]:.2f} s, with {saves} saves of {saved / 1e6:.1f} MB {seconds[options.every]:.2f} s: "
                  f"{1e3 * differences[-1]:.1f} ms a save", flush=True)
        cost = statistics.median(differences)
        print(f"a save costs {1e3 * cost:.1f} ms [{1e3 * min(differences):.1f}, {1e3 * max(differences):.1f}]: "
              f"{100 * cost / 60:.3f}% at one a minute")


if __name__ == "__main__":
    main()
