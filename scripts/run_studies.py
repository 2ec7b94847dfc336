#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs studies of configs/studies one after the other and prints the tables of docs/studies.md: seconds predicted and measured, the
verdict, and every rule with what was found.

  scripts/run_studies.py [NN ...] [--build DIR] [--output DIR]

All of them without numbers, about half an hour on two cores. A study whose campaign in the output folder is over is not run again, and its
seconds are those of its first run."""
import argparse
import json
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent


def ask(finescale, *words):
    """The answer of a command; a campaign with failed trials (1) has answers too."""
    done = subprocess.run([finescale, *map(str, words)], cwd=ROOT, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        sys.exit(f"{' '.join(map(str, words))}: exit {done.returncode}\n{done.stderr}")
    return json.loads(done.stdout)


def run(finescale, path, output):
    campaign = output / path.stem
    kept = output / (path.stem + ".json")
    if kept.is_file():
        return json.loads(kept.read_text(encoding="utf-8"))
    place = f"output={campaign}"
    predicted = ask(finescale, "plan", path, "--json", "--set", place)["predicted_seconds"]
    begin = time.monotonic()
    verdict = ask(finescale, "study", path, "--json", "--set", place)
    answer = {"predicted": predicted, "measured": time.monotonic() - begin, "contrasts": verdict["contrasts"], "verdict": verdict["study"]["verdict"]}
    kept.write_text(json.dumps(answer), encoding="utf-8")
    return answer


def row(contrast):
    low, high = contrast["interval"]
    why = f" ({contrast['why']})" if contrast["why"] else ""
    return (f"| {contrast['name']} | {contrast['expect']} | {contrast['effect']:.3g} [{low:.3g}, {high:.3g}] | {contrast['effect_size']:.2g} | "
            f"{contrast['p']:.2g} | {contrast['decision']}{why} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="*", metavar="NN")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("runs/studies"))
    options = parser.parse_args()
    finescale = options.build.resolve() / "bin" / "finescale"
    output = options.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    paths = sorted((ROOT / "configs" / "studies").glob("*.yaml"))
    chosen = [p for p in paths if not options.studies or p.stem.split("-")[0] in options.studies]
    if not chosen or (options.studies and len(chosen) != len(set(options.studies))):
        parser.error("there are studies " + ", ".join(p.stem.split("-")[0] for p in paths))
    answers = []
    for path in chosen:
        print(f"{path.stem}: running", file=sys.stderr, flush=True)
        answers.append((path.stem, run(finescale, path, output)))
    print("| study | seconds: predicted | measured | seeds | verdict |\n|---|---|---|---|---|")
    for name, answer in answers:
        seeds = max(c["seeds"] for c in answer["contrasts"])
        print(f"| {name} | {answer['predicted']:.0f} | {answer['measured']:.0f} | {seeds} | {answer['verdict']} |")
    for name, answer in answers:
        print(f"\n**{name}: {answer['verdict']}.**\n\n| contrast | expected | found | d | p | |\n|---|---|---|---|---|---|")
        print("\n".join(row(c) for c in answer["contrasts"]))


if __name__ == "__main__":
    main()
