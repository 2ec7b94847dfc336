#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the Parquet files that the tests read, with pyarrow, beside itself: pairs (three row groups, a dictionary, absent values) and
messages (lists of structs, uncompressed: also the fuzzer's seed)."""
import os

import pyarrow as pa
import pyarrow.parquet as pq

HERE = os.path.dirname(os.path.abspath(__file__))
SEEDS = os.path.join(HERE, "..", "..", "fuzz", "corpus", "parquet")

pairs = pa.table({"prompt": [f"what is {i} + {i}?" for i in range(300)],
                  "response": [f"\u00e9 {2 * i}" for i in range(300)],
                  "source": pa.array(["a", None, "b"] * 100).dictionary_encode(),
                  "score": pa.array([i / 7 for i in range(300)], pa.float32())})
pq.write_table(pairs, os.path.join(HERE, "pairs.parquet"), row_group_size=100, compression="zstd")

messages = pa.table({"messages": [
    [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}],
    [{"role": "system", "content": "be brief"}, {"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "four"}]]})
for path in (os.path.join(HERE, "messages.parquet"), os.path.join(SEEDS, "messages")):
    pq.write_table(messages, path, compression="none")
pq.write_table(pairs.slice(0, 3), os.path.join(SEEDS, "pairs"), compression="snappy")
