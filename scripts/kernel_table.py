#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The table of docs/kernels-cuda.md: what the compiler says of every CUDA kernel and what the emulator counts.

  scripts/kernel_table.py [--build build] [--check [--counts]]

Registers, shared memory, stack and spills come from `ptxas -v` (needs nvcc, no GPU; minutes), sectors and bank conflicts from
bin/cuda_access_test of the build. Occupancy is computed from them by the rules of the architecture. Writes the table between
the marks of the page; --check compares instead and exits 1 where they differ; with --counts only the emulator's columns, which
takes seconds; 3 when nvcc or the build is missing."""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PAGE = os.path.join(ROOT, "docs", "kernels-cuda.md")
BEGIN, END = "<!-- begin of the generated table -->", "<!-- end of the generated table -->"
# Of a multiprocessor: warps, blocks, 32-bit registers, shared bytes (CUDA C++ Programming Guide, compute capabilities).
LIMITS = {"80": (64, 32, 65536, 164 * 1024), "90": (64, 32, 65536, 228 * 1024)}
RESERVED_SHARED = 1024  # of every block
HEAD = ["kernel", "threads", "registers 80 / 90", "shared bytes", "spills", "occupancy 80 / 90", "sectors / least", "sectors / operands",
        "bank conflicts"]


def nvcc():
    found = shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
    return found if os.path.exists(found) else None


def compiled(compiler, arch):
    """{file:kernel<arguments>: (registers, shared bytes, spilled bytes)} of every .cu."""
    resources = {}
    folder = os.path.join(ROOT, "kernels", "cuda")
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".cu"):
            continue
        with tempfile.TemporaryDirectory() as scratch:
            log = subprocess.run([compiler, "-std=c++20", "-O3", "-I", ROOT, "-Xptxas", "-v", "-cubin", "-arch", f"sm_{arch}",
                                  "-o", os.path.join(scratch, "out"), os.path.join(folder, name)],
                                 check=True, capture_output=True, text=True).stderr
        kernel, spilled = None, 0
        for line in subprocess.run(["c++filt"], input=log, capture_output=True, text=True, check=True).stdout.splitlines():
            if entry := re.search(r"Compiling entry function '(.*)' for", line):
                kernel = f"{name[:-3]}:{short(entry[1])}"
            elif spills := re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", line):
                spilled = int(spills[1]) + int(spills[2])
            elif used := re.search(r"Used (\d+) registers", line):
                shared = re.search(r"(\d+) bytes smem", line)
                resources[kernel] = (int(used[1]), int(shared[1]) if shared else 0, spilled)
    return resources


def short(signature):
    """'void finescale::cuda::_GLOBAL__N__...::rotate<float, (int)4>(...)' -> 'rotate<float, 4>'."""
    depth, end = 0, len(signature)
    for i, letter in enumerate(signature):  # the parameters begin at the first ( outside <>
        depth += (letter == "<") - (letter == ">")
        if letter == "(" and depth == 0 and not signature.startswith("(anonymous", i):
            end = i
            break
    text = signature[:end].replace("(int)", "").replace("(bool)1", "true").replace("(bool)0", "false")
    text = re.sub(r"(\w+::|\(anonymous namespace\)::)+", "", text)
    return text.removeprefix("void ").strip()


def counted(build):
    test = os.path.join(build, "bin", "cuda_access_test")
    if not os.path.exists(test):
        print(f"kernel_table.py: {test} is missing: build the target cuda_access_test", file=sys.stderr)
        sys.exit(3)
    with tempfile.TemporaryDirectory() as scratch:
        path = os.path.join(scratch, "table")
        subprocess.run([test], env={**os.environ, "FINESCALE_KERNEL_ACCESS": path}, stdout=subprocess.DEVNULL, check=False)
        with open(path) as lines:
            return [line.rstrip("\n").split("\t") for line in lines]


def occupancy(arch, threads, registers, shared):
    warps, blocks, all_registers, all_shared = LIMITS[arch]
    own_warps = (threads + 31) // 32
    by_registers = all_registers // (-(-registers * 32 // 256) * 256) // own_warps  # a warp takes units of 256
    by_shared = all_shared // (shared + RESERVED_SHARED)
    return min(blocks, warps // own_warps, by_registers, by_shared) * own_warps / warps


def ratio(part, whole):
    return "" if float(whole) == 0 else f"{float(part) / float(whole):.2f}"


def rows(counts, resources):
    table, seen = [], set()
    for _, kernel, threads, dynamic, sectors, least, operands, conflicts in counts:
        if kernel in seen:
            continue
        seen.add(kernel)
        cells = [f"`{kernel}`", threads]
        if resources:
            by_arch = [resources[arch][kernel] for arch in LIMITS]
            shared = by_arch[0][1] + int(dynamic)
            fill = [f"{occupancy(arch, int(threads), use[0], shared):.0%}" for arch, use in zip(LIMITS, by_arch)]
            cells += [" / ".join(str(use[0]) for use in by_arch), str(shared), str(sum(use[2] for use in by_arch)), " / ".join(fill)]
        else:
            cells += [None] * 4
        table.append(cells + [ratio(sectors, least), ratio(sectors, operands), conflicts])
    return table


def in_page(page):
    lines = page.split(BEGIN)[1].split(END)[0].strip().splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--counts", action="store_true")
    options = parser.parse_args()
    counts = counted(options.build)
    resources = None
    if not (options.check and options.counts):
        if nvcc() is None:
            print("kernel_table.py: no nvcc", file=sys.stderr)
            sys.exit(3)
        resources = {arch: compiled(nvcc(), arch) for arch in LIMITS}
    table = rows(counts, resources)
    with open(PAGE) as file:
        page = file.read()
    if options.check:
        old = in_page(page)
        same = len(old) == len(table) and all(new is None or new == was for a, b in zip(table, old) for new, was in zip(a, b))
        if not same:
            print("docs/kernels-cuda.md is not current: run scripts/kernel_table.py", file=sys.stderr)
        sys.exit(0 if same else 1)
    lines = ["| " + " | ".join(cells) + " |" for cells in [HEAD, ["---"] * len(HEAD)] + table]
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    with open(PAGE, "w") as file:
        file.write(f"{before}{BEGIN}\n\n" + "\n".join(lines) + f"\n\n{END}{after}")


if __name__ == "__main__":
    main()
