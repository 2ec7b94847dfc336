#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Generation speed beside transformers' generate: the same weights, prompts, greedy choice and threads, in turn on the same machine.

  scripts/bench_generate.py [--python EXE] [--smollm2 DIR] [--threads 2] [--rounds 3] [--isa avx2|avx512] [--batch 1|64] [--models NAMES]

DIR is a Hugging Face directory of SmolLM2-135M (stored as f32 or bf16; transformers computes in f32 either way); without it only `tiny` is measured, a random model of the preset's shape that the script
makes. EXE is a Python with torch, transformers and tokenizers. Prints medians of new tokens per second (prompts' time included, loading
not), the median of the rounds' ratios, how many tokens agree, and where decoding lies between memory and arithmetic: at batch 1 weight
bytes x tokens / s over the rate of reading memory, at batch 64 FLOPs / s over the vendor sgemm's at 64 rows."""
import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BIN = os.path.join(ROOT, "build", "bin")
CASES = {"tiny": [(1, 32, 256), (64, 32, 128)], "smollm2-135m": [(1, 32, 32), (64, 32, 64)]}  # prompts, their tokens, new tokens

MAKE_TINY = """
import sys, torch
from tokenizers import Tokenizer, models, pre_tokenizers, decoders, trainers
from transformers import LlamaConfig, LlamaForCausalLM
torch.manual_seed(0)
c = LlamaConfig(vocab_size=512, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=4, intermediate_size=192,
                max_position_embeddings=2048, rms_norm_eps=1e-6, tie_word_embeddings=True, initializer_range=0.1,
                bos_token_id=None, eos_token_id=None, pad_token_id=None)
m = LlamaForCausalLM(c)
m.save_pretrained(sys.argv[1])
t = Tokenizer(models.BPE()); t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False); t.decoder = decoders.ByteLevel()
t.train_from_iterator(["the quick brown fox"], trainers.BpeTrainer(vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
t.save(sys.argv[1] + "/tokenizer.json")
"""

PEER = """
import json, sys, time, torch
from transformers import AutoModelForCausalLM
model, threads, requests = sys.argv[1], int(sys.argv[2]), json.load(open(sys.argv[3]))
torch.set_num_threads(threads)
m = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
out = []
for r in requests:
    ids = torch.tensor(r["ids"])
    kw = dict(attention_mask=torch.ones_like(ids), do_sample=False, min_new_tokens=r["new"], max_new_tokens=r["new"], pad_token_id=0)
    with torch.inference_mode():
        m.generate(ids[:1, :4], attention_mask=torch.ones(1, 4, dtype=torch.long), do_sample=False, max_new_tokens=2, pad_token_id=0)
        begin = time.perf_counter()
        tokens = m.generate(ids, **kw)
    out.append(dict(seconds=time.perf_counter() - begin, tokens=tokens[:, ids.shape[1]:].tolist()))
print(json.dumps(out))
"""


def run(command, env=None):
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command[:4])} ...: {done.stderr.strip()[-400:]}")
    return done.stdout


class Side:
    """One model, measured by both programs."""

    def __init__(self, options, name, directory, work):
        self.o, self.name, self.directory, self.work = options, name, directory, work
        config = json.load(open(os.path.join(directory, "config.json")))
        stored = config.get("dtype") or config.get("torch_dtype")
        self.weight_bytes = 2 if stored == "bfloat16" else 4  # kept as the files have them, and read so at batch 1
        self.width, self.vocab, self.layers = config["hidden_size"], config["vocab_size"], config["num_hidden_layers"]
        head = config.get("head_dim") or self.width // config["num_attention_heads"]
        heads = config["num_attention_heads"] + config["num_key_value_heads"]
        self.head = self.vocab * self.width  # only rows that choose a token go through it
        self.blocks = self.layers * self.width * (2 * heads * head + 3 * config["intermediate_size"])
        rng = random.Random(1)
        self.requests = [dict(ids=[[rng.randrange(260, min(self.vocab, 20000)) if self.vocab > 1000 else rng.randrange(self.vocab)
                                    for _ in range(length)] for _ in range(batch)], new=new) for batch, length, new in CASES[name]]

    def ours(self):
        out = []
        for r in self.requests:
            path = os.path.join(self.work, "prompts.jsonl")
            with open(path, "w") as f:
                f.writelines(json.dumps(dict(ids=ids)) + "\n" for ids in r["ids"])
            env = dict(os.environ, **({"FINESCALE_ISA": self.o.isa} if self.o.isa else {}))
            document = json.loads(run([os.path.join(BIN, "finescale"), "generate", self.directory, "--prompts", path, "--max-new", str(r["new"]),
                                       "--temperature", "0", "--repetition-penalty", "1", "--no-stop", "--batch", "64", "--threads",
                                       str(self.o.threads), "--json"], env))
            out.append(dict(seconds=document["seconds"], tokens=[a["tokens"] for a in document["answers"]]))
        return out

    def peer(self):
        path = os.path.join(self.work, "requests.json")
        with open(path, "w") as f:
            json.dump(self.requests, f)
        return json.loads(run([self.o.python, "-c", PEER, self.directory, str(self.o.threads), path]))


def machine(options):
    """GB/s of reading memory and GFLOP/s of the vendor sgemm at 64 rows, from finescale-bench."""
    done = subprocess.run([os.path.join(BIN, "finescale-bench"), f"--threads={options.threads}", "--benchmark_filter=^sgemm_gate_up_64/|read_memory",
                           "--benchmark_format=json"], capture_output=True, text=True, check=True,
                          env=dict(os.environ, **({"FINESCALE_ISA": options.isa} if options.isa else {})))
    rows = {b["name"].split("/real_time")[0].split("/min_time")[0]: b for b in json.loads(done.stdout)["benchmarks"]}
    read = next(b["B/s"] for n, b in rows.items() if n.startswith("read_memory"))
    return read / 1e9, {n.split("/")[1]: b["FLOP/s"] / 1e9 for n, b in rows.items() if n.startswith("sgemm_gate_up_64")}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--smollm2")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--isa")
    parser.add_argument("--batch", type=int, help="only the rows of this many prompts")
    parser.add_argument("--models", default="tiny,smollm2-135m")
    options = parser.parse_args()
    for name, cases in CASES.items():
        CASES[name] = [c for c in cases if options.batch in (None, c[0])] if name in options.models.split(",") else []
    bandwidth, sgemm = machine(options)
    print(f"{options.threads} threads, memory {bandwidth:.1f} GB/s\n")
    print("| model | batch | prompt | new | ours tok/s | transformers tok/s | ratio | tokens equal | of memory | of sgemm at 64 |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as work:
        tiny = os.path.join(work, "tiny")
        run([options.python, "-c", MAKE_TINY, tiny])
        sides = [Side(options, "tiny", tiny, work)] + ([Side(options, "smollm2-135m", options.smollm2, work)] if options.smollm2 else [])
        for side in (s for s in sides if s.requests):
            rounds = [(side.ours(), side.peer()) for _ in range(options.rounds)]
            for i, (batch, length, new) in enumerate(CASES[side.name]):
                ours = [batch * new / a[i]["seconds"] for a, _ in rounds]
                peer = [batch * new / b[i]["seconds"] for _, b in rounds]
                ratio = statistics.median(x / y for x, y in zip(ours, peer))
                pairs = [(x, y) for s, t in zip(rounds[0][0][i]["tokens"], rounds[0][1][i]["tokens"]) for x, y in zip(s, t)]
                equal = sum(x == y for x, y in pairs) / len(pairs)
                rate = statistics.median(ours)
                memory = f"{rate * side.weight_bytes * (side.blocks + side.head) / 1e9 / bandwidth:.0%}" if batch == 1 else ""
                work = 2 * (side.blocks * (length + new) / new + side.head)  # FLOPs of a new token, its share of the prompt included
                flops = f"{rate * work / 1e9 / sgemm[side.name]:.0%}" if batch == 64 else ""
                print(f"| {side.name} | {batch} | {length} | {new} | {rate:.0f} | {statistics.median(peer):.0f} | {ratio:.1f} | "
                      f"{equal:.1%} | {memory} | {flops} |", flush=True)


if __name__ == "__main__":
    main()
