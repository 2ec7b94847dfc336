#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a stage or trial that does nothing costs: finescale with resident local gangs, durable leases, artifacts and
commits, beside Ray, Ray Tune, Optuna, Dask and a process pool where they are installed (their programs: --peers).

    bench_dispatch.py --build BUILD [--stages 10000] [--gangs 2] [--python PYTHON --peers DIR] [--only finescale]

Prints one line per tool. Half of the stages train and half evaluate, by a gang that only writes their artifacts.
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

SWEEP = """name: dispatch
base: {{preset: tiny, tokenizer: {{train: {{vocab_size: 300}}}}, pretrain: {{data: text.jsonl, train: {{steps: 1, batch: {{examples: 1}}}}}}}}
data:
  train: train.jsonl
  eval: [{{name: held_out, path: eval.jsonl}}]
trial:
  stages:
    - train: {{batch: {{examples: 1}}}}
    - evaluate: {{metrics: [loss]}}
axes:
  train.data_budget: [1]
  seed: {{linear: {{from: 1, to: {trials}, points: {trials}}}}}
resources: {{gangs: {gangs}, ranks_per_gang: 1, launcher: {{mpirun: {{program: {program}}}}}}}
"""


def proportional_memory(pid):
    """PSS of one process, MiB."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def watch(process):
    """Memory and processor time of the coordinator."""
    memory, cpu = 0.0, 0.0
    while process.poll() is None:
        try:
            memory, cpu = max(memory, proportional_memory(process.pid)), cpu_seconds(process.pid)
        except (FileNotFoundError, ProcessLookupError, StopIteration):
            pass
        time.sleep(0.05)
    return memory, cpu


def write_sweep(build, work, stages, gangs):
    for name in ("text", "train", "eval"):
        (work / f"{name}.jsonl").write_text('{"prompt": "a", "response": "b"}\n' if name != "text" else '{"text": "a"}\n')
    program = next(p for p in (build / "bin/noop-gang", build / "tests/dispatch/noop-gang") if p.exists())
    (work / "sweep.yaml").write_text(SWEEP.format(trials=(stages + 1) // 2, gangs=gangs, program=program))


def idle_memory(build, gangs):
    """PSS of a coordinator whose gangs work: it hears their heartbeats and does nothing else, MiB."""
    work = pathlib.Path(tempfile.mkdtemp(prefix="finescale-idle-", dir=build))
    try:
        write_sweep(build, work, 100, gangs)
        with open(work / "log", "w", encoding="utf-8") as log:
            process = subprocess.Popen([build / "bin/finescale", "run", "sweep.yaml", "--set", "output=out"], cwd=work, stdout=subprocess.DEVNULL,
                                       stderr=log, env={**os.environ, "FINESCALE_NOOP_SECONDS": "2"})
        time.sleep(5)
        memory = proportional_memory(process.pid)
        process.terminate()
        process.wait(60)
        return round(memory, 1)
    finally:
        shutil.rmtree(work)


def bench_finescale(build, stages, gangs):
    work = pathlib.Path(tempfile.mkdtemp(prefix="finescale-dispatch-", dir=build))
    try:
        write_sweep(build, work, stages, gangs)
        begin = time.time()
        with open(work / "log", "w", encoding="utf-8") as log:  # a pipe that nobody reads would stop it
            process = subprocess.Popen([build / "bin/finescale", "run", "sweep.yaml", "--set", "output=out"], cwd=work,
                                       stdout=subprocess.DEVNULL, stderr=log)
            memory, cpu = watch(process)
        wall = time.time() - begin
        if process.returncode != 0:
            raise RuntimeError((work / "log").read_text()[-800:])
        first, last, done = (float(x) for x in span(work / "out"))
        audit = json.loads(subprocess.run([build / "bin/finescale", "audit", "out", "--json"], cwd=work, check=True,
                                          capture_output=True, text=True).stdout)
        return {"tool": "finescale", "stages": int(done), "wall_s": round(wall, 2),
                "each_us": round(1e6 * (last - first) / max(1, done - 1)), "coordinator_cpu_us": round(1e6 * cpu / done),
                "coordinator_pss_mib": round(memory, 1), "audit_ok": audit["ok"]}
    finally:
        shutil.rmtree(work)


def span(campaign):
    """When the first and the last artifact were published, and how many there are."""
    times = [(entry.stat().st_ctime) for entry in (campaign / "artifacts").iterdir()]
    return min(times), max(times), len(times)


def fsync_floor(folder):
    """One write and fsync of a small file, us: an artifact has five, the store one a group."""
    path = folder / "fsync-probe"
    begin = time.time()
    with open(path, "wb") as file:
        for _ in range(200):
            file.write(b"x" * 100)
            file.flush()
            os.fsync(file.fileno())
    path.unlink()
    return {"tool": "write + fsync", "each_us": round(1e6 * (time.time() - begin) / 200)}


def run_peer(python, script, *arguments):
    done = subprocess.run([python, script.name, *arguments], cwd=script.parent, capture_output=True, text=True,
                          timeout=900, env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "HF_HUB_OFFLINE": "1"})
    rows = [line for line in done.stdout.splitlines() if line.startswith("{")]
    return rows or [json.dumps({"tool": script.stem + " " + " ".join(arguments),
                                "skipped": (done.stderr.strip().splitlines() or ["no output"])[-1][:200]})]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--stages", type=int, default=10000)
    parser.add_argument("--gangs", type=int, default=2)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--peers", type=pathlib.Path)
    parser.add_argument("--only")
    arguments = parser.parse_args()
    build = arguments.build.resolve()
    print(json.dumps(fsync_floor(build)), flush=True)
    row = bench_finescale(build, arguments.stages, arguments.gangs)
    row["coordinator_idle_pss_mib"] = idle_memory(build, arguments.gangs)
    print(json.dumps(row), flush=True)
    if arguments.only != "finescale" and arguments.peers:
        for script, words in (("dispatch.py", ["pool"]), ("dispatch.py", ["dask"]), ("dispatch.py", ["ray"]),
                              ("optuna_trials.py", ["--n", "300"]),
                              ("ray_tune_trials.py", ["--n", "40", "--seconds", "0", "--concurrent", "2"]),
                              ("ray_tune_trials.py", ["--n", "100", "--seconds", "0", "--concurrent", "2", "--reuse"])):
            for line in run_peer(arguments.python, arguments.peers.resolve() / script, *words):
                print(line, flush=True)
    return 0 if row["audit_ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
