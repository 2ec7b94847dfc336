#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Training on one GPU beside a hand-tuned PyTorch loop: the same shape, tokens per step, AdamW with f32 weights, products in bf16.

  scripts/bench_gpu_peers.py [--bin DIR] [--shapes llama-1b] [--methods full,lora] [--length 2048] [--tokens 16384] [--eager]

PyTorch: RMSNorm, rotary positions, scaled_dot_product_attention (flash, grouped heads), autocast to bf16, fused AdamW, torch.compile unless
--eager. Prints one line per row: ratio ours / theirs, useful tokens per second, peak memory of the GPU, floating-point rate of ours.
Needs a GPU, and a Python with torch for it; exits 3 without."""
import argparse
import json
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RANK = 8

THEIRS = r"""
import json, sys, time, torch, torch.nn.functional as F
from torch import nn
o = json.loads(sys.argv[1])
C, L, H, K, I, V, S, B = (o[k] for k in ("hidden_size", "num_layers", "num_heads", "num_kv_heads", "intermediate_size", "vocab_size", "length", "batch"))
D = C // H
lora = o["method"] == "lora"
torch.manual_seed(0)
torch.set_default_device("cuda")

class Linear(nn.Module):
    def __init__(self, i, outs):
        super().__init__()
        self.w = nn.Parameter(torch.randn(sum(outs), i) * 0.02, requires_grad=not lora)
        if lora:
            self.w.data = self.w.data.bfloat16()
            self.a = nn.Parameter(torch.randn(o["rank"] * len(outs), i) * 0.02)
            self.b = nn.ParameterList(nn.Parameter(torch.zeros(n, o["rank"])) for n in outs)
    def forward(self, x):
        y = F.linear(x, self.w)
        if lora:
            parts = F.linear(x, self.a).split(o["rank"], -1)
            z = [F.linear(p, b) for p, b in zip(parts, self.b)]
            y = y + (z[0] if len(z) == 1 else torch.cat(z, -1))
        return y

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.n1, self.n2 = (nn.Parameter(torch.ones(C), requires_grad=not lora) for _ in range(2))
        self.qkv, self.o = Linear(C, [C, K * D, K * D]), Linear(C, [C])
        self.gu, self.dn = Linear(C, [I, I]), Linear(I, [C])
    def forward(self, x, cos, sin):
        def rot(t):
            u, v = t.chunk(2, -1)
            return torch.cat((u * cos - v * sin, v * cos + u * sin), -1)
        q, k, v = self.qkv(F.rms_norm(x, (C,), self.n1, 1e-5)).split([C, K * D, K * D], -1)
        q, k, v = (t.view(B, S, -1, D).transpose(1, 2) for t in (q, k, v))
        y = F.scaled_dot_product_attention(rot(q), rot(k), v, is_causal=True, enable_gqa=H != K)
        x = x + self.o(y.transpose(1, 2).reshape(B, S, C))
        g, u = self.gu(F.rms_norm(x, (C,), self.n2, 1e-5)).chunk(2, -1)
        return x + self.dn(F.silu(g) * u)

class Llama(nn.Module):
    def __init__(self):
        super().__init__()
        self.e = nn.Parameter(torch.randn(V, C) * 0.02, requires_grad=not lora)
        self.blocks = nn.ModuleList(Block() for _ in range(L))
        self.n = nn.Parameter(torch.ones(C), requires_grad=not lora)
        angle = torch.arange(S)[:, None] / 500000.0 ** (torch.arange(0, D, 2) / D)
        self.register_buffer("cos", angle.cos().bfloat16()); self.register_buffer("sin", angle.sin().bfloat16())
    def forward(self, ids):
        with torch.autocast("cuda", torch.bfloat16):
            x = F.embedding(ids, self.e)
            for block in self.blocks:
                x = block(x, self.cos, self.sin)
            logits = F.linear(F.rms_norm(x, (C,), self.n, 1e-5)[:, :-1], self.e)
        return F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="sum") / (o["micro"] * B * (S - 1))

model = Llama()
step = torch.compile(model) if not o["eager"] else model
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-5, fused=True)
ids = torch.randint(3, V, (o["micro"], B, S))
times = []
for i in range(o["warmup"] + o["steps"]):
    torch.cuda.synchronize(); begin = time.perf_counter()
    for part in ids:
        loss = step(part)
        loss.backward()
    nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 1.0)
    optimizer.step(); optimizer.zero_grad()
    torch.cuda.synchronize(); times.append(time.perf_counter() - begin)
times = sorted(times[o["warmup"]:])
print("RESULT", json.dumps({"tok_s": ids.numel() / times[len(times) // 2], "mib": torch.cuda.max_memory_allocated() / 2**20}))
"""


def fail(message):
    print("bench_gpu_peers: " + message, file=sys.stderr)
    sys.exit(3)


def shape_of(name):
    text = open(os.path.join(ROOT, "configs", "presets", name + ".yaml")).read()
    return {key: int(value) for key, value in re.findall(r"(\w+): (\d+)\b", text)}


def flops_per_token(shape, length, method):
    """Forward and backward of the products and of attention, without recomputation."""
    c, i = shape["hidden_size"], shape["intermediate_size"]
    kv = c // shape["num_heads"] * shape["num_kv_heads"]
    weights = shape["num_layers"] * (2 * c * c + 2 * c * kv + 3 * c * i) + shape["vocab_size"] * c
    attention = shape["num_layers"] * 2 * c * length  # 4 c for every visible key, half of them visible
    return (6 if method == "full" else 4) * weights + 3 * attention


def ours(options, name, method, precision):
    request = {"preset": name, "method": method, "device": "cuda", "precision": precision, "lengths": [options.length],
               "sequences_per_step": options.tokens // options.length, "steps": options.steps + 3, "warmup": 3,
               "micro_batch_tokens": options.micro_batch_tokens, "threads": len(os.sched_getaffinity(0))}
    out = subprocess.run([os.path.join(options.bin, "finescale-worker"), "tool", "step"], input=json.dumps(request), capture_output=True, text=True)
    if out.returncode != 0:
        fail("finescale-worker: " + out.stderr.strip())
    return json.loads(out.stdout)


def theirs(options, name, method):
    batch = options.micro_batch_tokens // options.length
    request = dict(shape_of(name), method=method, length=options.length, batch=batch, micro=options.tokens // options.micro_batch_tokens,
                   rank=RANK, steps=options.steps, warmup=3, eager=options.eager)
    out = subprocess.run([options.python, "-c", THEIRS, json.dumps(request)], capture_output=True, text=True)
    lines = [line for line in out.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        fail("PyTorch: " + (out.stderr.strip().splitlines() or ["no result"])[-1])
    return json.loads(lines[-1][7:])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default=os.path.join(ROOT, "build-gpu", "bin"))
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--shapes", default="llama-1b")
    parser.add_argument("--methods", default="full,lora")
    parser.add_argument("--length", type=int, default=2048)
    parser.add_argument("--tokens", type=int, default=16384, help="of a step")
    parser.add_argument("--micro-batch-tokens", type=int, default=8192)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--eager", action="store_true")
    options = parser.parse_args()
    if subprocess.run([options.python, "-c", "import torch; assert torch.cuda.is_available()"], capture_output=True).returncode != 0:
        fail(f"{options.python} has no torch with a GPU")
    for name in options.shapes.split(","):
        for method in options.methods.split(","):
            mine = ours(options, name, method, "bf16")
            other = theirs(options, name, method)
            rate = mine["tok_s"] * flops_per_token(shape_of(name), options.length, method)
            print(f"{name:14} {method:4} {'eager' if options.eager else 'compiled':8} x{mine['tok_s'] / other['tok_s']:.2f}  "
                  f"ours {mine['tok_s']:8.0f} theirs {other['tok_s']:8.0f} tok/s  memory {mine['gpu_peak_mib']:.0f} / {other['mib']:.0f} MiB  "
                  f"ours {rate / 1e12:.0f} TFLOP/s", flush=True)


if __name__ == "__main__":
    main()
