#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Training speed on two ranks beside PyTorch DDP and FSDP over gloo, in interleaved runs on the same machine.

  scripts/bench_scaling.py [--peers DIR] [--python EXE] [--shapes small,medium] [--lengths fixed,ragged] [--rounds 5]
                           [--isa avx2|avx512] [--mesh '{data: 2}'] [--micro-batch-tokens N]

Each round runs, in turn: ours on 1 rank x 2 threads, ours on 2 ranks x 1 thread, DDP and FSDP on 2 processes x 1 thread. Same
instruction set, tokens, float32 and AdamW settings. Strong scaling: the same batch on two ranks; weak: twice the batch.
An sgemm probe runs around every round: a row whose probe moves by more than 10% is void. Needs what bench_peers.py needs,
and transformers. Prints medians of useful tokens per second and the median of the rounds' ratios with its range."""
import json
import os
import statistics
import subprocess
import tempfile

from bench_peers import STEPS, Bench, fail, parsed, parser_of

FSDP = """
import sys; sys.path.insert(0, {peers!r})
import common
a = common.args()
import torch, torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
dist.init_process_group("gloo")
k, n = dist.get_rank(), dist.get_world_size()
m = common.model(a)
seqs, per = common.sequences(a)
mesh = init_device_mesh("cpu", (n,))
for layer in m.model.layers:
    fully_shard(layer, mesh=mesh)
fully_shard(m, mesh=mesh)
opt = torch.optim.AdamW([p for p in m.parameters() if p.requires_grad], lr=common.LR)
mt = common.Meter(a, f"torch_fsdp_x{{n}}")
for s in range(a.steps):
    b = seqs[s * per:(s + 1) * per]
    mt.begin()
    loss = m(**common.pad_batch(b[k::n])).loss
    loss.backward()
    opt.step()
    opt.zero_grad(set_to_none=True)
    mt.end([len(x) for x in b])
if k == 0: mt.report(ranks=n)
dist.destroy_process_group()
"""
MICRO = {"tiny": 1024, "small": 1024, "medium": 256, "smollm2-135m": 256}
MPI = dict(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMPI_MCA_mpi_yield_when_idle="1",
           OMPI_MCA_rmaps_base_oversubscribe="1", OMPI_MCA_hwloc_base_binding_policy="none")


class Scaling(Bench):
    def ours_on(self, ranks, threads, shape, method, lengths, factor=1):
        steps = STEPS[shape]
        sequences, per = self.sequences(shape, lengths, steps * factor)
        request = dict(preset=shape, method=method, sequences=sequences, sequences_per_step=per * factor, steps=steps, warmup=3,
                       threads=threads, micro_batch_tokens=self.o.micro_batch_tokens or MICRO[shape],
                       mesh=self.o.mesh if ranks > 1 else "{}")
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(request, file)
            file.flush()
            out = subprocess.run(["mpirun", "-n", str(ranks), self.o.build + "/bin/finescale-worker", "--step", file.name],
                                 env=dict(self.env, **MPI, OMP_NUM_THREADS=str(threads)), capture_output=True, text=True)
        if out.returncode != 0:
            fail(out.stderr.strip())
        return json.loads(out.stdout)["tok_s"]

    def torch_on_two(self, program, shape, method, lengths):
        out = subprocess.run([self.o.python, "-m", "torch.distributed.run", "--nproc-per-node", "2", program, "--threads", "1", "--shape",
                              shape, "--method", method, "--lengths", lengths, "--steps", str(STEPS[shape]), "--json"],
                             env=dict(self.env, OMP_NUM_THREADS="1"), capture_output=True, text=True)
        lines = [line for line in out.stdout.splitlines() if line.startswith("RESULT ")]
        if not lines:
            fail(f"{program}: " + (out.stderr.strip().splitlines() or ["no result"])[-1])
        return json.loads(lines[-1][7:])["tok_s"]

    def compare(self, shape, method, lengths, fsdp):
        sides = {
            "ours 1x2": lambda: self.ours_on(1, 2, shape, method, lengths),
            "ours 2x1": lambda: self.ours_on(2, 1, shape, method, lengths),
            "ours 2x1 weak": lambda: self.ours_on(2, 1, shape, method, lengths, 2),
            "ours 1x1": lambda: self.ours_on(1, 1, shape, method, lengths),
            "ddp": lambda: self.torch_on_two(os.path.join(self.o.peers, "torch_ddp.py"), shape, method, lengths),
            "fsdp": lambda: self.torch_on_two(fsdp, shape, method, lengths),
        }
        figures = {name: [] for name in sides}
        probes = [self.probe()]
        for number in range(self.o.rounds):
            order = list(sides) if number % 2 == 0 else list(reversed(sides))
            for name in order:
                figures[name].append(sides[name]())
            probes.append(self.probe())
        spread = max(probes) / min(probes) - 1
        print(f"{shape} {method} {lengths}: " + ", ".join(f"{n} {statistics.median(v):.0f}" for n, v in figures.items()) + " tok/s; probe +-"
              f"{50 * spread:.0f}%" + ("; void: probe" if spread > 0.10 else ""), flush=True)
        for a, b in (("ours 2x1", "ddp"), ("ours 2x1", "fsdp"), ("ours 1x2", "ddp"), ("ours 2x1", "ours 1x1"), ("ours 2x1 weak", "ours 1x1")):
            ratios = [x / y for x, y in zip(figures[a], figures[b])]
            print(f"    {a} / {b}: x{statistics.median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]", flush=True)


def main():
    parser = parser_of(__doc__, "small,medium", "full", "fixed,ragged")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mesh", default="{data: 2}")
    parser.add_argument("--micro-batch-tokens", type=int, default=0, help="0: by shape, at least four a step")
    options = parsed(parser, "torch_ddp.py")
    options.threads = 2
    bench = Scaling(options)
    with tempfile.NamedTemporaryFile("w", suffix=".py") as fsdp:
        fsdp.write(FSDP.format(peers=options.peers))
        fsdp.flush()
        for shape in options.shapes.split(","):
            for method in options.methods.split(","):
                for lengths in options.lengths.split(","):
                    bench.compare(shape, method, lengths, fsdp.name)


if __name__ == "__main__":
    main()
