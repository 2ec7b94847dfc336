#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Training speed beside PyTorch programs, in interleaved pairs on the same machine in the same minutes.

  scripts/bench_peers.py [--peers DIR] [--python EXE] [--shapes tiny,small,medium] [--methods full,lora]
                         [--lengths ragged] [--pairs 5] [--threads 2] [--isa avx2|avx512] [--recompute none|selective|full]
                         [--opponents best,compiled,trl,trl_default,trainer]

Same instruction set, threads, token sequences, float32 and AdamW settings on both sides. Before the pairs the gradients of
the first step are compared on equal weights and tokens (relative L2 below 1e-4, else the row is void). An sgemm probe runs
before and after every pair: a row whose probe moves by more than 10% is void. Needs a directory with the peers' programs
(torch_best.py, trl_sft.py, common.py) and a Python with torch, h5py, numpy and, for trl, trl; exits 3 without them.
Prints one line per row: median ratio ours / theirs, its range, both medians in useful tokens per second, peak resident memory, and
seconds from the start of the process to the end of its first step."""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TOKENS = {"tiny": 4096, "small": 4096, "medium": 1024, "smollm2-135m": 1024}
STEPS = {"tiny": 40, "small": 16, "medium": 14, "smollm2-135m": 6}
# best and compiled: hand-tuned PyTorch, no padding; trl: SFTTrainer with packing; trl_default and trainer pad.
PROGRAMS = {"best": ["torch_best.py"], "compiled": ["torch_best.py", "--compile", "model"], "trl": ["trl_sft.py", "--packing"],
            "trl_default": ["trl_sft.py"], "trainer": ["hf_trainer.py"]}
# Where the preset is not what the peers' model of that shape has: put into their source before gradients are compared.
THEIR_CONSTANTS = {"smollm2-135m": {"1.0 / 10000 **": "1.0 / 100000 **", ", 1e-6)": ", 1e-5)"}}
TORCH_ISA = {"avx2": "avx2", "avx512": "avx512"}
ONEDNN_ISA = {"avx2": "AVX2", "avx512": "AVX512_CORE"}
MKL_ISA = {"avx2": "AVX2", "avx512": "AVX512"}

PROBE = """
import time, torch
torch.set_num_threads({threads})
a, b = torch.randn(768, 768), torch.randn(768, 768)
best = 0
for _ in range(200):
    t = time.perf_counter()
    for _ in range(4):
        a @ b
    best = max(best, 4 * 2 * 768**3 / (time.perf_counter() - t) / 1e9)
print(best)
"""

# Runs in the peers' Python: torch_best's own model with the weights of the dump; its gradients against the dump's.
GRADIENTS = """
import sys, json, random
sys.path.insert(0, {peers!r})
sys.argv = ["torch_best.py", "--shape", {shape!r}, "--method", {method!r}, "--lengths", {lengths!r}, "--steps", "1", "--alloc", "glibc"]
source = open({peers!r} + "/torch_best.py").read()
for theirs, ours in {constants!r}.items():
    assert theirs in source, theirs
    source = source.replace(theirs, ours)
exec(source[:source.index("f = torch.compile")])
import h5py, numpy
dumped = h5py.File({dump!r})
def get(path): return torch.from_numpy(numpy.array(dumped[path]))
def stacked(group, layer, names, end):
    return torch.cat([get(f"{{group}}/model.layers.{{layer}}.{{n}}{{end}}") for n in names])
LINEAR = {{"qkv": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"], "o": ["self_attn.o_proj"],
          "gu": ["mlp.gate_proj", "mlp.up_proj"], "dn": ["mlp.down_proj"]}}
pairs = []  # (name, parameter of theirs, our gradient)
with torch.no_grad():
    def put(name, parameter, value, gradient):
        assert parameter.shape == value.shape, (name, parameter.shape, value.shape)
        parameter.copy_(value)
        if parameter.requires_grad:
            pairs.append((name, parameter, gradient))
    def plain(parameter, path):
        put(path, parameter, get("/model/" + path), None if lora else get("/gradient/" + path))
    plain(m.e, "model.embed_tokens.weight"); plain(m.n, "model.norm.weight")
    for i, b in enumerate(m.b):
        plain(b.n1, f"model.layers.{{i}}.input_layernorm.weight"); plain(b.n2, f"model.layers.{{i}}.post_attention_layernorm.weight")
        for attribute, names in LINEAR.items():
            linear = getattr(b, attribute)
            put(f"{{i}}.{{attribute}}", linear.w, stacked("/model", i, names, ".weight"), None if lora else stacked("/gradient", i, names, ".weight"))
            if lora:
                put(f"{{i}}.{{attribute}}.A", linear.A, stacked("/adapter", i, names, "/A"), stacked("/gradient", i, names, "/A"))
                for n, parameter in zip(names, linear.B):
                    put(f"{{i}}.{{n}}.B", parameter, stacked("/adapter", i, [n], "/B"), stacked("/gradient", i, [n], "/B"))
*x, lens = next(batches())
step_loss(*x).backward()
error = size = 0.0
for name, parameter, gradient in pairs:
    error += float(((parameter.grad - gradient) ** 2).sum()); size += float((parameter.grad ** 2).sum())
print("RESULT", json.dumps([(error / size) ** 0.5, len(pairs)]))
"""


def fail(message):
    print("bench_peers: " + message, file=sys.stderr)
    sys.exit(3)


class Bench:
    def __init__(self, options):
        self.o = options
        self.env = dict(os.environ, FINESCALE_ISA=options.isa, ATEN_CPU_CAPABILITY=TORCH_ISA[options.isa],
                        ONEDNN_MAX_CPU_ISA=ONEDNN_ISA[options.isa], MKL_ENABLE_INSTRUCTIONS=MKL_ISA[options.isa],
                        OMP_NUM_THREADS=str(options.threads))
        sys.path.insert(0, options.peers)
        sys.argv = sys.argv[:1]

    def python(self, code):
        out = subprocess.run([self.o.python, "-c", code], env=self.env, capture_output=True, text=True)
        if out.returncode != 0:
            fail(out.stderr.strip().splitlines()[-1] if out.stderr else "the peers' Python failed")
        return out.stdout

    def probe(self):
        return float(self.python(PROBE.format(threads=self.o.threads)).split()[-1])

    def sequences(self, shape, lengths, steps):
        """The peers' own token lists (common.sequences draws them from a fixed seed)."""
        code = (f"import sys, json; sys.path.insert(0, {self.o.peers!r}); import common\n"
                f"class A: shape, lengths, steps = {shape!r}, {lengths!r}, {steps}\n"
                f"print(json.dumps(common.sequences(A, {steps} * 2)))")
        sequences, per = json.loads(self.python(code))
        return sequences[: per * steps], per

    def ours(self, shape, method, lengths, steps, **more):
        sequences, per = self.sequences(shape, lengths, steps)
        request = dict(preset=shape, method=method, sequences=sequences, sequences_per_step=per, steps=steps, warmup=3,
                       threads=self.o.threads, micro_batch_tokens=self.o.micro_batch_tokens,
                       mesh="{recompute: %s}" % self.o.recompute, **more)
        out = subprocess.run([self.o.build + "/bin/finescale-worker", "tool", "step"], env=self.env, input=json.dumps(request),
                             capture_output=True, text=True)
        if out.returncode != 0:
            fail(out.stderr.strip())
        return json.loads(out.stdout)

    def theirs(self, opponent, shape, method, lengths, steps):
        program = PROGRAMS[opponent]
        out = subprocess.run([self.o.python, os.path.join(self.o.peers, program[0]), *program[1:], "--shape", shape, "--method", method,
                              "--lengths", lengths, "--steps", str(steps), "--threads", str(self.o.threads), "--json"],
                             env=self.env, capture_output=True, text=True)
        lines = [line for line in out.stdout.splitlines() if line.startswith("RESULT ")]
        if not lines:
            fail(f"{program[0]}: " + (out.stderr.strip().splitlines() or ["no result"])[-1])
        return json.loads(lines[-1][7:])

    def gradient_difference(self, shape, method, lengths):
        with tempfile.TemporaryDirectory() as folder:
            dump = folder + "/step.h5"
            sequences, per = self.sequences(shape, lengths, 1)
            request = dict(preset=shape, method=method, sequences=sequences[:per], sequences_per_step=per, steps=1, warmup=0,
                           threads=self.o.threads, micro_batch_tokens=self.o.micro_batch_tokens, dump=dump)
            out = subprocess.run([self.o.build + "/bin/finescale-worker", "tool", "step"], env=self.env, input=json.dumps(request),
                                 capture_output=True, text=True)
            if out.returncode != 0:
                fail(out.stderr.strip())
            printed = self.python(GRADIENTS.format(peers=self.o.peers, shape=shape, method=method, lengths=lengths, dump=dump,
                                                     constants=THEIR_CONSTANTS.get(shape, {})))
            return json.loads(printed.split("RESULT", 1)[1])

    def row(self, opponent, shape, method, lengths):
        difference, compared = self.gradient_difference(shape, method, lengths)
        steps = STEPS[shape]
        probes, ratios, ours, theirs = [self.probe()], [], [], []
        memory, first = ([], []), ([], [])
        for pair in range(self.o.pairs):
            order = [0, 1] if pair % 2 == 0 else [1, 0]
            for side in order:
                if side == 0:
                    result = self.ours(shape, method, lengths, steps)
                    ours.append(result["tok_s"])
                    memory[0].append(result["peak_rss_mib"])
                    first[0].append(result["first_step_s"])
                else:
                    result = self.theirs(opponent, shape, method, lengths, steps)
                    theirs.append(result["tok_s"])
                    name = result["peer"]
                    memory[1].append(result["rss_mb"])
                    first[1].append(result["first_step_s"])
            ratios.append(ours[-1] / theirs[-1])
            probes.append(self.probe())
        spread = max(probes) / min(probes) - 1
        void = "; void: probe" if spread > 0.10 else "; void: gradients" if difference > 1e-4 else ""
        print(f"{shape:13} {method:4} {lengths:6} {name:24} x{statistics.median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]  "
              f"ours {statistics.median(ours):8.0f} theirs {statistics.median(theirs):8.0f} tok/s  "
              f"memory {statistics.median(memory[0]):.0f} / {statistics.median(memory[1]):.0f} MiB  "
              f"first step {statistics.median(first[0]):.2f} / {statistics.median(first[1]):.2f} s  "
              f"gradients {difference:.1e} ({compared} tensors)  probe {statistics.median(probes):.0f} GFLOP/s +-{100 * spread / 2:.0f}%{void}",
              flush=True)


def parser_of(description, shapes, methods, lengths):
    """The options that every comparison takes, with its defaults."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default=os.path.join(ROOT, "..", "shared", "bench", "peers"))
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--shapes", default=shapes)
    parser.add_argument("--methods", default=methods)
    parser.add_argument("--lengths", default=lengths)
    parser.add_argument("--isa", choices=["avx2", "avx512"], default="avx512" if "avx512f" in open("/proc/cpuinfo").read() else "avx2")
    return parser


def parsed(parser, program):
    """The options, after a look whether the peers' program is there."""
    options = parser.parse_args()
    options.peers = os.path.abspath(options.peers)
    if not os.path.exists(os.path.join(options.peers, program)):
        fail(f"no peers' programs in {options.peers}: give --peers")
    return options


def main():
    parser = parser_of(__doc__, "tiny,small,medium", "full,lora", "ragged")
    parser.add_argument("--opponents", default="best")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--micro-batch-tokens", type=int, default=2048)
    parser.add_argument("--recompute", choices=["none", "selective", "full"], default="none", help="ours: less memory, the same numbers")
    options = parsed(parser, "torch_best.py")
    bench = Bench(options)
    print(f"isa {options.isa}, {options.threads} threads, {options.pairs} pairs; x = ours / theirs in useful tokens/s")
    for opponent in options.opponents.split(","):
        for shape in options.shapes.split(","):
            for method in options.methods.split(","):
                for lengths in options.lengths.split(","):
                    bench.row(opponent, shape, method, lengths)


if __name__ == "__main__":
    main()
