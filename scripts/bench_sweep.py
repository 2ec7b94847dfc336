#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The sweep of 48 trials that other tools were measured with ({full, lora} x 2 learning rates x 6 nested budgets x 2 seeds, llama d=64 L=2,
batch 8, one epoch, WSD), in finescale with resident gangs, shared trunks and durable records, beside hand-written PyTorch loops and, with
--slow, TRL in a process per trial, by a plain pool and by Ray Tune, in one run.

    bench_sweep.py --build BUILD --peers DIR --python PYTHON [--best | --slow] [--rounds N]

PYTHON has torch and numpy. Prints one line of JSON per program; "useful tokens" are those of all trials as if each ran alone.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

BASE = r"""
import json, pathlib, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
import common
out = pathlib.Path(sys.argv[2])
(out / "model").mkdir(parents=True)
d, ff, layers, vocab = 64, 192, 2, common.VOCAB
rng = np.random.Generator(np.random.Philox(5))
shapes = {"model.embed_tokens.weight": (vocab, d), "lm_head.weight": (vocab, d), "model.norm.weight": (d,)}
for l in range(layers):
    p = f"model.layers.{l}."
    shapes |= {p + f"self_attn.{n}_proj.weight": (d, d) for n in "qkvo"}
    shapes |= {p + "mlp.gate_proj.weight": (ff, d), p + "mlp.up_proj.weight": (ff, d), p + "mlp.down_proj.weight": (d, ff)}
    shapes |= {p + n + ".weight": (d,) for n in ("input_layernorm", "post_attention_layernorm")}
header, data = {}, b""
for name, shape in shapes.items():
    value = np.ones(shape, np.float32) if len(shape) == 1 else (0.02 * rng.normal(size=shape)).astype(np.float32)
    header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [len(data), len(data) + value.nbytes]}
    data += value.tobytes()
text = json.dumps(header).encode()
(out / "model/model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)
(out / "model/config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": vocab, "hidden_size": d,
    "num_hidden_layers": layers, "num_attention_heads": 4, "num_key_value_heads": 4, "intermediate_size": ff, "max_position_embeddings": 257,
    "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": False, "torch_dtype": "float32",
    "bos_token_id": 1, "eos_token_id": 2}))
char = [chr(0x4E00 + i) for i in range(vocab)]
(out / "model/tokenizer.json").write_text(json.dumps({"version": "1.0", "added_tokens": [
        {"id": 2, "content": char[2], "special": True, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}],
    "normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None,
    "model": {"type": "BPE", "vocab": {c: i for i, c in enumerate(char)}, "merges": []}}, ensure_ascii=False))
def write(name, rows):
    (out / name).write_text("".join(json.dumps({"text": "".join(char[t] for t in row)}) + "\n" for row in rows))
write("train.jsonl", common.examples(1600, 0) + common.examples(1600, 1))
write("eval.jsonl", common.examples(common.HELD_OUT, 77))
print(json.dumps({"useful": sum(sum(map(len, common.examples(t["budget"], t["seed"]))) for t in common.trials())}))
"""
SWEEP = """name: {name}
base: {{model: model}}
data: {{train: train.jsonl, eval: [{{name: held_out, path: eval.jsonl}}], max_length: 257}}
trial:
  stages:
    - train: {{method: {method}, batch: {{examples: 8}}, schedule: {{wsd: {{decay: 0.2}}}}, warmup: {{steps: 2}}, weight_decay: 0}}
    - evaluate: {{metrics: [loss]}}
axes:
  train.learning_rate: {rates}
  seed: [11, 12]
  train.data_budget: [50, 100, 200, 400, 800, 1600]
laws: {{metric: held_out.loss}}
resources: {{gangs: 2, ranks_per_gang: 1, threads_per_rank: 1}}
"""


def bench_finescale(build, work, useful, number):
    begin = time.time()
    plans, losses, tokens = [], [], 0
    for name, method, rates in (("full", "full", "[1e-3, 3e-3]"), ("lora", "{lora: {rank: 8, alpha: 16}}", "[3e-3, 1e-2]")):
        (work / f"{name}.yaml").write_text(SWEEP.format(name=name, method=method, rates=rates))
        out = f"out-{number}-{name}"
        done = subprocess.run([build / "bin/finescale", "run", f"{name}.yaml", "--set", f"output={out}"], cwd=work, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(done.stderr[-1500:])
        plans.append(out)
    wall = time.time() - begin
    for out in plans:
        rows = json.loads(subprocess.run([build / "bin/finescale", "results", out, "--json"], cwd=work, check=True, capture_output=True, text=True).stdout)
        losses += [row["metrics"]["held_out.loss"] for row in rows]
        audit = json.loads(subprocess.run([build / "bin/finescale", "audit", out, "--json"], cwd=work, check=True, capture_output=True, text=True).stdout)
        tokens += audit["train_tokens"]
        assert audit["ok"], audit
    return {"tool": "finescale: 2 gangs, shared trunks, durable records", "trials": len(losses), "wall_s": round(wall, 2),
            "useful_tokens_per_s": round(useful / wall), "executed_tokens": tokens, "mean_loss": round(sum(losses) / len(losses), 5)}


def bench_peer(python, peers, *words):
    begin = time.time()
    done = subprocess.run([python, "ray_tune_trl.py", *words], cwd=peers, capture_output=True, text=True,
                          env={**os.environ, "HF_HUB_OFFLINE": "1", "RAY_USAGE_STATS_ENABLED": "0"})
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    row = json.loads(lines[-1]) if lines else {"skipped": (done.stderr.strip().splitlines() or ["?"])[-1][:200]}
    return {"tool": " ".join(words), "process_s": round(time.time() - begin, 2), **row}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--peers", type=pathlib.Path, required=True)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--best", action="store_true", help="beside the fastest hand-written loop alone")
    parser.add_argument("--slow", action="store_true", help="also TRL in a process per trial, by a pool and by Ray Tune (ten minutes)")
    arguments = parser.parse_args()
    build, peers = arguments.build.resolve(), arguments.peers.resolve()
    work = pathlib.Path(tempfile.mkdtemp(prefix="finescale-sweep-", dir=build))
    try:
        made = subprocess.run([arguments.python, "-c", BASE, str(peers), str(work)], check=True, capture_output=True, text=True)
        useful = json.loads(made.stdout)["useful"]
        for number in range(arguments.rounds):
            print(json.dumps(bench_finescale(build, work, useful, number)), flush=True)
            print(json.dumps(bench_peer(arguments.python, peers, "--mode", "trunk", "--model", "mini", "--workers", "2", "--flat")), flush=True)
            if not arguments.best:
                print(json.dumps(bench_peer(arguments.python, peers, "--mode", "lean", "--model", "mini", "--workers", "2")), flush=True)
        if arguments.slow:
            for mode in ("processes", "ray"):
                print(json.dumps(bench_peer(arguments.python, peers, "--mode", mode, "--backend", "trl")), flush=True)
    finally:
        shutil.rmtree(work)
    return 0


if __name__ == "__main__":
    sys.exit(main())
