#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Puts one-line bugs into the CUDA kernels, the device layer and the NCCL code and looks which of them the emulation's tests catch.

    mutate.py --build DIR [--count 60] [--seed 1] [--files PATTERN ...] [--jobs 2] [--out TABLE.md]
    mutate.py --list [--count 60] [--seed 1] [--files PATTERN ...]      only prints what would be drawn
    mutate.py --check                             whether every entry of survivors.txt is still a bug that can be drawn

What they let through is looked at once more by the tests of single kernels under AddressSanitizer. Works on a copy of the tree in DIR, never on this one. Each bug is drawn by the seed: a barrier or a wait left out, a bound, an index,
an operator, a transposition or a type changed. Of the copy only the tests that cover the file are built and run, until one fails; a
bug that does not compile is replaced by the next one drawn. Verdicts are kept in DIR by what the tree holds, so an interrupted run
goes on. Survivors that change nothing are listed with their reason in survivors.txt; ends with 1 when fewer than 95% of the others
are caught."""
import argparse
import fnmatch
import hashlib
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SHARE_CAUGHT = 0.95
SOURCES = ["kernels/cuda/*.cu", "kernels/cuda/*.h", "kernels/cuda/*.cpp", "core/cuda/*.cpp", "core/caching_memory.cpp",
           "comm/nccl/nccl_*.cpp", "worker/gradient_norm.cpp"]
# What belongs to the set-up of a GPU: not reached by a computation.
NOT_MUTATED = {"architectures.cpp", "architectures.h", "survey.cpp", "library.cpp", "nccl_library.cpp"}
# Programs with the filter of their cases.
KERNELS, MACHINE, ACCESS = ("cuda_emulation_test", "*"), ("cuda_machine_test", "*"), ("cuda_access_test", "*")
CACHING = ("core_test", "CachingMemory.*")
NCCL, TRAINING, RANKS = ("cuda_nccl_test", "*"), ("cuda_training_test", "-*SeveralGpus*"), ("cuda_training_test", "*SeveralGpus*")
# Steps of one GPU and of two, the norm among them.
NORMS = ("cuda_training_test", "GpuUpdate.*:*HasTheLossesOfTheCpu/llama_full_1_0_sgd*:*AGradientThatIsNotFinite*/llama_full_1_0_sgd*:*SeveralGpus*data2*")
# Those that cover a file, the quickest to find a bug in it first; the last pattern that matches counts.
COVERED_BY = [("*", [KERNELS, MACHINE, ACCESS, TRAINING]), ("kernels/cuda/*.cpp", [MACHINE, KERNELS, TRAINING]),
              ("core/*", [CACHING, MACHINE, NCCL, TRAINING, RANKS]), ("core/cuda/*", [MACHINE, NCCL, TRAINING, RANKS]),
              ("comm/nccl/*", [NCCL, RANKS]), ("worker/*", [NORMS, TRAINING, RANKS])]
SLOW = {TRAINING, RANKS}  # to build and to run: for what the others let through
# A test that computes this many times as long as without a bug (and a minute) never ends, and one that waits this long for nothing.
PATIENCE = 6
WAITS_SECONDS = 120
SANITIZED_COST = 4  # times the processor time, about
# What is looked for on a line, what comes in its place, and what kind of bug that is.
BUGS = [
    (r"^\s*__syncthreads\(\);", "", "barrier left out"),
    (r"^\s*__syncwarp\(\);", "", "barrier of a warp left out"),
    (r"^\s*\w+(->|\.)(begin|end|record|gpu_waits_for)\(.*\);", "", "order of streams left out"),
    (r"^\s*CUDA_CHECK\(.*cuda(StreamWaitEvent|EventRecord|StreamSynchronize)\(.*\)\);", "", "event left out"),
    (r"^\s*(\w+(->|\.))?wait\w*(<\w+>)?\(.*\);", "", "wait left out"),
    (r" < (?=\w)", " <= ", "bound too large"),
    (r" >= (?=\w)", " > ", "bound too small"),
    (r"(?<=\w) \+ 1\b", "", "off by one"),
    (r" \+= ", " = ", "sum overwritten"),
    (r"(?<=\w) - (?=\w)", " + ", "sign"),
    (r"(?<=[\w\])]) \* (?=\w)", " + ", "index or factor"),
    (r"\brow_stride\b", "cols()", "stride"),
    (r"kAllLanes", "0xffffU", "mask of lanes"),
    (r"Transpose::kYes", "Transpose::kNo", "transposition"),
    (r"CUDA_R_16BF", "CUDA_R_32F", "type"),
    (r"DType::kBf16\b", "DType::kF32", "type"),
    (r"DType::kF32\b", "DType::kBf16", "type"),
    (r"\bncclInt8\b", "ncclFloat32", "type"),
]
OPEN = "the quick tests pass"
EMULATED = "FINESCALE_CUDA_EMULATION"


def lines_of_functions(text):
    """Number and code (without comments) of the lines in which a bug can be; what one of the two compilers does not see is left out."""
    conditions = []  # of the preprocessor, whether each asks for the emulation
    for number, line in enumerate(text.splitlines()):
        head = line.lstrip()
        if head.startswith("#if"):
            conditions.append(EMULATED in head)
        elif head.startswith("#endif"):
            conditions.pop()
        skipped = head.startswith(("#", "//", "template", "static_assert", "using", "throw", "operator", "inline constexpr"))
        if not skipped and not any(conditions):
            yield number, line.split("//")[0]


def is_loop_without_end(kind, code):
    return kind == "sum overwritten" and code.lstrip().startswith("for (")


def candidates(root):
    """Bugs (file, line number, kind, line, changed line), all that there are."""
    for pattern in SOURCES:
        for path in sorted(root.glob(pattern)):
            if path.name in NOT_MUTATED:
                continue
            text = path.read_text()
            whole = text.splitlines()
            for number, code in lines_of_functions(text):
                for looked_for, put, kind in BUGS:
                    for match in re.finditer(looked_for, code):
                        if not is_loop_without_end(kind, code):
                            line = whole[number]
                            yield str(path.relative_to(root)), number, kind, line, line[: match.start()] + put + line[match.end():]


def draw(bugs, seed):
    """All bugs in the order of the draw: kinds take turns, so that barriers are not lost among indices, and so do files in a kind."""
    numbers = random.Random(seed)
    by_kind = {}
    for bug in bugs:
        by_kind.setdefault(bug[2], []).append(bug)
    for of_kind in by_kind.values():
        numbers.shuffle(of_kind)
    times = {}  # a file was drawn
    drawn = []
    while any(by_kind.values()):
        for of_kind in filter(None, by_kind.values()):
            bug = min(of_kind, key=lambda one: times.get(one[0], 0))
            of_kind.remove(bug)
            times[bug[0]] = times.get(bug[0], 0) + 1
            drawn.append(bug)
    return drawn


def name_of(bug):
    path, _, _, line, changed = bug
    return path, line.strip(), changed.strip()


def read_survivors():
    """Reasons by (file, line, changed line): bugs that change nothing. Format: see the head of survivors.txt."""
    path = HERE / "survivors.txt"
    reasons = {}
    for block in path.read_text().split("\n== ")[1:]:
        file, line, changed, reason = block.split("\n", 3)
        reasons[(file.strip(), line.removeprefix("-").strip(), changed.removeprefix("+").strip())] = " ".join(reason.split())
    return reasons


def processor_seconds(process):
    """That it has computed so far; None when it is stopped or gone: then it cannot."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "TtZ" else (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(command, folder, cpu_seconds=None):
    """Exit code, or None when it never ends: with a limit, it computed for longer or hardly at all for WAITS_SECONDS. What it took by the
    clock says nothing: other work of the machine must not make a bug look found."""
    def limit():
        if cpu_seconds is not None:
            resource.setrlimit(resource.RLIMIT_CPU, (int(cpu_seconds), int(cpu_seconds) + 5))

    program = subprocess.Popen(command, cwd=folder, preexec_fn=limit, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    used, since = 0.0, time.monotonic()
    while True:
        try:
            code = program.wait(None if cpu_seconds is None else 5)
            return None if code in (-signal.SIGXCPU, -signal.SIGKILL) else code
        except subprocess.TimeoutExpired:
            now = processor_seconds(program.pid)
            if now is None or now > used + 0.5:
                used, since = now or used, time.monotonic()
            elif time.monotonic() > since + WAITS_SECONDS:
                program.kill()


def computed():
    """CPU seconds of the programs that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Copy:
    """A copy of the tree with its build."""

    def __init__(self, folder, jobs):
        self.tree, self.jobs = folder / "tree", jobs
        self.seconds = {}  # that each test computes without a bug
        self.tree.mkdir(parents=True, exist_ok=True)
        names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
        held = hashlib.sha256()
        for name in filter(None, names.split("\0")):
            if (ROOT / name).is_file():
                held.update(name.encode() + b"\0" + self.bring(name))
        self.digest = held.hexdigest()[:12]

    def bring(self, name):
        """The file as it is here; what is equal keeps its time, so nothing is built twice."""
        content, target = (ROOT / name).read_bytes(), self.tree / name
        if not (target.exists() and target.read_bytes() == content):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target)
        return content

    def configure(self):
        plain = ["-DCMAKE_BUILD_TYPE=Release"]
        sanitized = ["-DCMAKE_BUILD_TYPE=RelWithDebInfo", "-DFINESCALE_SANITIZE=address,undefined"]
        return all(run(["cmake", "-S", ".", "-B", build, "-G", "Ninja", *how, "-DFINESCALE_CUDA=off",
                        "-DFINESCALE_UNITY=ON", "-Wno-dev"], self.tree) == 0
                   for build, how in (("build", plain), ("build-asan", sanitized)))

    def builds(self, test, build="build"):
        return run(["cmake", "--build", build, "-j", str(self.jobs), "--target", test[0]], self.tree) == 0

    def fails(self, test, build="build"):
        """None: it passes. Else how it fails."""
        command = [f"{build}/bin/{test[0]}", f"--gtest_filter={test[1]}", "--gtest_fail_fast"]
        code = run(command, self.tree, 60 + PATIENCE * self.seconds[test] * (SANITIZED_COST if build != "build" else 1))
        return None if code == 0 else " (never ends)" if code is None else ""

    def time_without_bug(self, tests):
        for test in tests:
            if not self.builds(test):
                sys.exit(f"mutate.py: {test[0]} does not build without any bug")
            begin = computed()
            if run([f"build/bin/{test[0]}", f"--gtest_filter={test[1]}"], self.tree) != 0:
                sys.exit(f"mutate.py: {test[0]} fails without any bug")
            self.seconds[test] = computed() - begin

    def time_slow_tests(self):
        self.time_without_bug(sorted(SLOW))
        if not self.builds(KERNELS, "build-asan") or self.fails(KERNELS, "build-asan") is not None:
            sys.exit(f"mutate.py: {KERNELS[0]} does not pass under AddressSanitizer without any bug")

    def verdict(self, path, is_slow):
        for test in (test for test in tests_of(path) if (test in SLOW) == is_slow):
            if not self.builds(test):
                return "does not compile"
            how = self.fails(test)
            if how is not None:
                return f"caught by {test[0]}{how}"
        if is_slow and KERNELS in tests_of(path):  # it may read what it must not, and use nothing of it
            if not self.builds(KERNELS, "build-asan"):
                sys.exit("mutate.py: the sanitized tests do not build")
            if self.fails(KERNELS, "build-asan") is not None:
                return f"caught by {KERNELS[0]} under AddressSanitizer"
        return "survived" if is_slow else OPEN

    def plant(self, bug, is_slow):
        path, number, _, _, changed = bug
        target = self.tree / path
        whole = target.read_text()
        lines = whole.splitlines(keepends=True)
        lines[number] = changed + "\n"
        target.write_text("".join(lines))
        try:
            return self.verdict(path, is_slow)
        finally:
            target.write_text(whole)


def tests_of(path):
    return [tests for pattern, tests in COVERED_BY if Path(path).match(pattern)][-1]


def table(rows, reasons, seed):
    """In Markdown, and whether enough were caught."""
    judged = [row for row in rows if row["verdict"] != "does not compile"]
    survivors = [row for row in judged if row["verdict"] == "survived"]
    harmless = sum(tuple(row["bug"]) in reasons for row in survivors)
    caught = len(judged) - len(survivors)
    text = (f"{len(judged)} bugs that compile (seed {seed}): {caught} caught, {harmless} change nothing, "
            f"{len(survivors) - harmless} missed.\n\n| where | bug | line | verdict |\n|---|---|---|---|\n")
    for row in judged:
        reason = reasons.get(tuple(row["bug"])) if row["verdict"] == "survived" else None
        cells = (row["where"], row["kind"], f"`{row['bug'][1]}` → `{row['bug'][2]}`",
                 f"changes nothing: {reason}" if reason else row["verdict"])
        text += "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"
    return text, caught >= SHARE_CAUGHT * (len(judged) - harmless)


def check():
    """Of survivors.txt, and that there is something to draw of every kind."""
    bugs = list(candidates(ROOT))
    known = {name_of(bug) for bug in bugs}
    stale = [name for name in read_survivors() if name not in known]
    for name in stale:
        print(f"survivors.txt: {name[0]} has no line `{name[1]}` of which `{name[2]}` is a bug", file=sys.stderr)
    missing = {kind for _, _, kind in BUGS} - {bug[2] for bug in bugs}
    for kind in sorted(missing):
        print(f"no line for a bug of the kind: {kind}", file=sys.stderr)
    print(f"{len(bugs)} bugs in {len({bug[0] for bug in bugs})} files can be drawn")
    return 1 if stale or missing else 0


def go_through(copy, drawn, count, kept):
    rows = json.loads(kept.read_text()) if kept.exists() else []

    def keep(place):
        kept.write_text(json.dumps(rows, indent=1))
        print(f"{place + 1}: {rows[place]['where']}, {rows[place]['kind']}: {rows[place]['verdict']}", file=sys.stderr, flush=True)

    for bug in drawn[len(rows):]:
        if sum(row["verdict"] != "does not compile" for row in rows) >= count:
            break
        path, number, kind, _, _ = bug
        rows.append({"where": f"{path}:{number + 1}", "kind": kind, "bug": name_of(bug), "verdict": copy.plant(bug, False)})
        keep(len(rows) - 1)
    left = [place for place, row in enumerate(rows) if row["verdict"] == OPEN]
    if left:
        copy.time_slow_tests()
    for place in left:
        rows[place]["verdict"] = copy.plant(drawn[place], True)
        keep(place)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, help="folder for the copy, its build and the verdicts")
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--files", nargs="+", default=["*"], metavar="PATTERN",
                        help="bugs of these files alone, as paths from the root of the tree (kernels/cuda/row_gemm.cu, core/*); default: all")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, help="table in Markdown; default: standard output")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    if arguments.check:
        return check()
    bugs = [bug for bug in candidates(ROOT) if any(fnmatch.fnmatch(bug[0], pattern) for pattern in arguments.files)]
    if not bugs:
        parser.error("no file with a line for a bug has a name of --files")
    drawn = draw(bugs, arguments.seed)
    if arguments.list:
        for path, number, kind, line, changed in drawn[: arguments.count]:
            print(f"{path}:{number + 1}: {kind}\n  - {line.strip()}\n  + {changed.strip()}")
        return 0
    if arguments.build is None:
        parser.error("--build is needed")
    copy = Copy(arguments.build.resolve(), arguments.jobs)
    if not copy.configure():
        sys.exit("mutate.py: the copy cannot be configured")
    copy.time_without_bug(sorted({test for bug in drawn for test in tests_of(bug[0])} - SLOW))
    of_files = hashlib.sha256("\0".join(arguments.files).encode()).hexdigest()[:8]
    rows = go_through(copy, drawn, arguments.count, copy.tree.parent / f"verdicts-{copy.digest}-{arguments.seed}-{of_files}.json")
    text, enough = table(rows, read_survivors(), arguments.seed)
    if arguments.out:
        arguments.out.write_text(text)
    else:
        print(text)
    return 0 if enough else 1


if __name__ == "__main__":
    sys.exit(main())
