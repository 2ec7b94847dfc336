#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plants each bug of bugs.txt in a copy of its source file, links it into the schedules program, and runs
schedules until something is violated. Prints a table; ends with 1 when fewer than 95% are found.

    plant.py --build BUILD [--work DIR] [--schedules N] [--only NAME]...
"""
import argparse
import json
import pathlib
import shlex
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parent.parent
SHARE_FOUND = 0.95


def read_bugs(path):
    """Bugs as dictionaries: name, what, file, old, new. Format: see the head of bugs.txt."""
    bugs = []
    for block in path.read_text().split("\n== ")[1:]:
        head, file, rest = block.split("\n", 2)
        name, what = head.split(": ", 1)
        old, new = rest.split("\n----\n", 1)
        bugs.append({"name": name, "what": what, "file": file.strip(), "old": old, "new": new.rstrip("\n")})
    return bugs


def link_command(build):
    commands = subprocess.run(["ninja", "-C", build, "-t", "commands", "schedules"], check=True,
                              capture_output=True, text=True).stdout.splitlines()
    return next(line for line in reversed(commands) if "-o bin/schedules" in line)


def compilation(build, path):
    """The entry that compiles this source: its own, or of a file that includes it beside others (FINESCALE_UNITY)."""
    entries = json.loads((build / "compile_commands.json").read_text())
    own = next((e for e in entries if pathlib.Path(e["file"]) == path), None)
    if own is not None:
        return own
    return next(e for e in entries if "/Unity/" in e["file"] and f'"{path}"' in pathlib.Path(e["file"]).read_text())


def plant(bug, build, work, link):
    """The program with the bug in it, or why there is none."""
    text = (SOURCE / bug["file"]).read_text()
    if text.count(bug["old"]) != 1:
        return None, f"its text occurs {text.count(bug['old'])} times"
    folder = work / bug["name"]
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / pathlib.Path(bug["file"]).name
    source.write_text(text.replace(bug["old"], bug["new"]))
    entry = compilation(build, SOURCE / bug["file"])
    if "/Unity/" in entry["file"]:
        together = folder / "together.cxx"
        together.write_text(pathlib.Path(entry["file"]).read_text().replace(str(SOURCE / bug["file"]), str(source)))
        source = together
    words = shlex.split(entry["command"])
    words[words.index("-c") + 1] = str(source)
    words[words.index("-o") + 1] = str(folder / "bug.o")
    words.append("-w")
    done = subprocess.run(words, cwd=entry["directory"], capture_output=True, text=True)
    if done.returncode != 0:
        return None, "does not compile: " + done.stderr[:400]
    program = folder / "schedules"
    command = link.replace("-o bin/schedules", f"{folder}/bug.o -o {program}")
    done = subprocess.run(command, shell=True, cwd=build, capture_output=True, text=True)
    if done.returncode != 0:
        return None, "does not link: " + done.stderr[:400]
    return program, ""


def hunt(program, schedules, timeout):
    """Whether something was found, and what."""
    begin = time.time()
    try:
        done = subprocess.run([str(program), "--schedules", str(schedules), "--until-violation"],
                              capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return False, "no end within the time limit", timeout
    seconds = time.time() - begin
    first = next((l for l in done.stdout.splitlines() if l.startswith("violation: ")), "")
    words = first.removeprefix("violation: ") or done.stderr.strip().splitlines()[-1:]
    return done.returncode != 0, words if isinstance(words, str) else " ".join(words), seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path)
    parser.add_argument("--schedules", type=int, default=400)
    parser.add_argument("--timeout", type=float, default=240)
    parser.add_argument("--only", action="append", default=[])
    arguments = parser.parse_args()
    build = arguments.build.resolve()
    work = (arguments.work or build / "planted_bugs").resolve()
    found, _, seconds = hunt(build / "bin/schedules", arguments.schedules, arguments.timeout)
    print(f"without a bug: {'VIOLATED' if found else 'clean'}, {arguments.schedules} schedules, {seconds:.0f} s",
          flush=True)
    if found:
        return 1
    link = link_command(build)
    print("| bug | found by | s |\n|---|---|---|")
    bugs = [b for b in read_bugs(HERE / "bugs.txt") if not arguments.only or b["name"] in arguments.only]
    num_found = 0
    for bug in bugs:
        program, why = plant(bug, build, work, link)
        if program is None:
            print(f"| {bug['what']} | NOT PLANTED: {why} | |", flush=True)
            continue
        found, what, seconds = hunt(program, arguments.schedules, arguments.timeout)
        num_found += found
        print(f"| {bug['what']} | {what if found else 'NOT FOUND ' + what} | {seconds:.1f} |", flush=True)
        program.unlink()
    print(f"{num_found} of {len(bugs)} found")
    return 0 if num_found >= SHARE_FOUND * len(bugs) else 1


if __name__ == "__main__":
    sys.exit(main())
