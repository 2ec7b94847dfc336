#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a LoRA step takes of a full one beside what its FLOPs say, a QLoRA step of a LoRA one, and a step in bf16 of one in f32, in turn on the same machine.

  scripts/bench_step_ratios.py [--presets tiny,small,medium] [--rounds 3] [--threads 2] [--isa avx2|avx512] [--build DIR]

Ragged lengths (log-normal, mean 63), 4,096 tokens a step (1,024 from `medium` on). Every round runs all variants once, each round in
another order; a ratio is the median of the rounds' ratios, with its range. FLOPs as docs/accounting.md counts them. bf16 only where
the CPU multiplies it (AVX512-BF16)."""
import argparse
import json
import math
import os
import random
import re
import statistics
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TOKENS = {"tiny": 4096, "small": 4096, "medium": 1024, "smollm2-135m": 1024}
STEPS = {"tiny": 40, "small": 10, "medium": 10, "smollm2-135m": 3}
WARMUP = 2
RANK = 8  # the default of `lora`, on every matrix
METHODS = {"full": "full", "lora": "lora", "qlora": "{qlora: {rank: 8}}"}  # name: as a sweep file has it


def sizes(preset):
    with open(os.path.join(ROOT, "configs", "presets", preset + ".yaml"), encoding="utf-8") as file:
        found = {key: int(value) for key, value in re.findall(r"(\w+): (\d+)\b", file.read())}
    head = found.get("head_dim", found["hidden_size"] // found["num_heads"])
    return found, found["num_heads"] * head, found.get("num_kv_heads", found["num_heads"]) * head


def flops_of(preset, lengths):
    """FLOPs of full fine-tuning and of LoRA for these sequences; every token but the first of one is a label."""
    s, query, key = sizes(preset)
    width, inner, layers = s["hidden_size"], s["intermediate_size"], s["num_layers"]
    matrices = layers * (width * (2 * query + 2 * key) + 3 * width * inner)
    adapters = layers * RANK * (4 * width + 2 * query + 2 * key + 3 * (width + inner))
    tokens, labels = sum(lengths), sum(lengths) - len(lengths)
    attention = 6 * layers * query * sum(n * n for n in lengths)
    head = s["vocab_size"] * width
    full = 6 * matrices * tokens + 6 * head * labels + attention
    return full, (4 * matrices + 6 * adapters) * tokens + 4 * head * labels + attention


def ragged(count):
    rng = random.Random(20)
    return [min(256, max(8, round(48 * math.exp(0.8 * rng.gauss(0, 1))))) for _ in range(count)]


def step_ms(options, preset, method, precision, lengths, per_step):
    request = dict(preset=preset, method=METHODS[method], precision=precision, lengths=lengths, sequences_per_step=per_step,
                   steps=STEPS[preset] + WARMUP, warmup=WARMUP, threads=options.threads)
    env = dict(os.environ, **({"FINESCALE_ISA": options.isa} if options.isa else {}))
    done = subprocess.run([os.path.join(options.build, "bin", "finescale-worker"), "tool", "step"], input=json.dumps(request),
                          capture_output=True, text=True, check=True, env=env)
    answer = json.loads(done.stdout)
    return answer["ms_total"] / answer["steps"], answer["peak_rss_mib"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", default="tiny,small,medium")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--isa")
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    options = parser.parse_args()
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        multiplies_bf16 = "avx512_bf16" in file.read() and options.isa != "avx2"
    variants = [(m, p) for p in (["f32", "bf16"] if multiplies_bf16 else ["f32"]) for m in METHODS]
    print("| preset | full, f32 | LoRA / full | of FLOPs | LoRA / FLOPs | QLoRA / LoRA | the same, bf16 | bf16 / f32, full | bf16 / f32, LoRA | MiB: full, LoRA, QLoRA; bf16 |")
    print("|---" * 10 + "|")
    for preset in options.presets.split(","):
        per_step = TOKENS[preset] // 64
        lengths = ragged(per_step * (STEPS[preset] + WARMUP))
        full_flops, lora_flops = flops_of(preset, lengths)
        share = lora_flops / full_flops
        times = {v: [] for v in variants}
        memory = {}
        for turn in range(options.rounds):
            for variant in variants[turn % len(variants):] + variants[:turn % len(variants)]:
                ms, memory[variant] = step_ms(options, preset, *variant, lengths, per_step)
                times[variant].append(ms)

        def ratio(a, b, scale=1.0):
            if a not in times:
                return ""
            values = [scale * x / y for x, y in zip(times[a], times[b])]
            return f"{statistics.median(values):.2f} [{min(values):.2f}, {max(values):.2f}]"

        full, lora = ("full", "f32"), ("lora", "f32")
        print(f"| {preset} | {statistics.median(times[full]):.1f} ms | {ratio(lora, full)} | {share:.3f} | {ratio(lora, full, 1 / share)} | "
              f"{ratio(('qlora', 'f32'), lora)} | {ratio(('qlora', 'bf16'), ('lora', 'bf16'))} | "
              f"{ratio(('full', 'bf16'), full)} | {ratio(('lora', 'bf16'), lora)} | "
              + "; ".join(", ".join(f"{memory[v]:.0f}" for v in variants if v[1] == p) for p in ("f32", "bf16")) + " |", flush=True)


if __name__ == "__main__":
    main()
