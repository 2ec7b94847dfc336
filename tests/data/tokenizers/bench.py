#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""MB/s of encoding on one thread, here and by the tokenizers library, side by side in one run.

    bench.py PROBE TEXT FILE.json [...]      PROBE: build/bin/tokenizer_probe; TEXT: a file, its first 1.5 MB are used

Each as one text and as documents of about 2 KB; the best of 5 and of 2 runs. `letters` is a million times one letter.
"""
import os
import struct
import subprocess
import sys
import time

os.environ.update(TOKENIZERS_PARALLELISM="false", RAYON_NUM_THREADS="1")
from tokenizers import Tokenizer  # noqa: E402


def main():
    probe, text_path, files = sys.argv[1], sys.argv[2], sys.argv[3:]
    text = open(text_path, encoding="utf-8", errors="replace").read(1_500_000)
    documents = [text[i:i + 2000] for i in range(0, len(text), 2000)]
    print("| tokenizer | text | here MB/s | library MB/s | ratio |\n|---|---|---|---|---|")
    for path in files:
        reference = Tokenizer.from_file(path)
        reference.no_truncation()
        reference.no_padding()
        for name, texts in (("one text", [text]), ("documents", documents), ("letters", ["a" * 1_000_000])):
            size = sum(len(t.encode()) for t in texts) / 1e6
            data = b"".join(struct.pack("<I", len(t.encode())) + t.encode() for t in texts)
            best, ids = subprocess.run([probe, path, "--time"], input=data, capture_output=True, check=True).stdout.split()
            theirs, count = 1e9, 0
            for _ in range(2):
                begin = time.perf_counter()
                count = sum(len(e.ids) for e in reference.encode_batch_fast(texts, add_special_tokens=False))
                theirs = min(theirs, time.perf_counter() - begin)
            assert count == int(ids), f"{path}: {count} ids there, {int(ids)} here"
            mine = size / float(best)
            print(f"| {os.path.basename(path)[:-5]} | {name} | {mine:.1f} | {size / theirs:.1f} | {mine * theirs / size:.1f} |", flush=True)


if __name__ == "__main__":
    main()
