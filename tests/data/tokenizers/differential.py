#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ids of random Unicode text, here and from the tokenizers library, for every fixture and for real tokenizers.

    differential.py PROBE [--seconds 10] [--seed 1] [FILE.json ...]      PROBE: build/bin/tokenizer_probe

Also reads ../shared/reference/hf/*/tokenizer.json and the files of FINESCALE_TOKENIZERS (a directory). Exits 77 where the
library is absent.
"""
import argparse
import glob
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import time

try:
    from tokenizers import Tokenizer
except ImportError:
    print("skipped: this Python has no tokenizers package (pip install tokenizers)")
    sys.exit(77)

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from make_fixtures import PLAIN, PROBE, TEXTS  # noqa: E402

BLOCKS = [(0, 0x80), (0x80, 0x300), (0x300, 0x600), (0x600, 0x900), (0x900, 0x1100), (0x1100, 0x1200), (0x1200, 0x2000),
          (0x2000, 0x2100), (0x2100, 0x3000), (0x3000, 0x3200), (0x3200, 0xA000), (0xA000, 0xD800), (0xE000, 0x10000),
          (0x10000, 0x14000), (0x16000, 0x19000), (0x1B000, 0x1FB00), (0x20000, 0x32000), (0xE0000, 0xE0200)]


def random_text(rng):
    parts = []
    for _ in range(rng.randrange(1, 12)):
        kind = rng.randrange(5)
        if kind == 0:
            first, end = rng.choice(BLOCKS)
            parts.append("".join(chr(rng.randrange(first, end)) for _ in range(rng.randrange(1, 8))))
        elif kind == 1:
            source = rng.choice(TEXTS)
            at = rng.randrange(len(source) + 1)
            parts.append(source[at:at + rng.randrange(20)])
        elif kind == 2:
            parts.append(rng.choice([" ", "  ", "\n", "\r\n", "\t", "'s", "'LL", "12", "1234", "\u0301", "\u200d", "▁", "<s>", "."]))
        else:
            parts.append(rng.choice(rng.choice(PLAIN).split(" ")) + rng.choice(["", " ", ". "]))
    return "".join(parts)


def ours(probe, path, texts):
    data = b"".join(struct.pack("<I", len(t.encode())) + t.encode() for t in texts)
    done = subprocess.run([probe, path], input=data, capture_output=True, check=True)
    return [[int(i) for i in line.split()] for line in done.stdout.decode().splitlines()]


def compare(probe, name, path, texts):
    reference = Tokenizer.from_file(path)
    reference.no_truncation()
    reference.no_padding()
    bad = 0
    for text, got in zip(texts, ours(probe, path, texts)):
        want = reference.encode(text, add_special_tokens=False).ids
        if got != want:
            bad += 1
            if bad <= 3:
                print(f"{name}: {text!r}\n  here      {got}\n  reference {want}")
    return bad


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("probe")
    arguments.add_argument("files", nargs="*")
    arguments.add_argument("--seconds", type=float, default=10)
    arguments.add_argument("--seed", type=int, default=1)
    options = arguments.parse_args()
    rng = random.Random(options.seed)
    shared = os.environ.get("FINESCALE_SHARED", os.path.join(HERE, "../../../../shared"))
    files = options.files + sorted(glob.glob(os.path.join(shared, "reference/hf/*/tokenizer.json")))
    files += sorted(glob.glob(os.path.join(os.environ.get("FINESCALE_TOKENIZERS", "/nonexistent"), "*.json")))
    bad = texts_compared = 0
    with tempfile.TemporaryDirectory() as directory:
        for item in json.load(open(os.path.join(HERE, "fixtures.json")))["fixtures"]:
            if item["tokenizer"]["model"] == "probe":
                item["tokenizer"]["model"] = PROBE
            files.append(os.path.join(directory, item["name"] + ".json"))
            json.dump(item["tokenizer"], open(files[-1], "w"))
        end = time.time() + options.seconds
        while True:
            for path in files:
                texts = [random_text(rng) for _ in range(300)] + TEXTS
                bad += compare(options.probe, os.path.basename(path), path, texts)
                texts_compared += len(texts)
            if time.time() > end:
                break
    print(f"{len(files)} tokenizers, {texts_compared} texts, {bad} differ")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
