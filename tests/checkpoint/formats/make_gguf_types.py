#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Makes gguf_types.gguf with the reference implementation (pip install gguf): of every type a tensor
# q.<type> of seeded random blocks with f32.<type>, what it decodes to; and inputs in.<type> with
# out.<type>, what they are encoded to.
import sys

import numpy as np
from gguf import GGUFWriter, GGMLQuantizationType as T
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize, quantize

HALVES = {T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0],
          T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208]}  # where a block has its scales
ROWS, COLUMNS = 2, 512


def blocks(rng, kind):
    elements, size = GGML_QUANT_SIZES[kind]
    count = ROWS * COLUMNS // elements
    raw = rng.integers(0, 256, (count, size), dtype=np.uint8)
    for at in HALVES.get(kind, []):
        halves = rng.normal(0, 0.05, count).astype(np.float16)
        # Zeros, subnormals (the smallest and the largest), signs, the largest.
        halves[:7] = np.array([0, 0x8000, 0x0001, 0x03FF, 0x8001, 0x7BFF, 0x0400], np.uint16).view(np.float16)[:count]
        rng.shuffle(halves)
        raw[:, at:at + 2] = halves.view(np.uint8).reshape(count, 2)
    return raw.reshape(ROWS, -1)


def plain(rng, kind):
    if kind == T.F32:
        bits = rng.integers(0, 2**32, ROWS * COLUMNS, dtype=np.uint32)
        bits[:4] = [0, 0x80000000, 1, 0x7F800000]
        bits[(bits & 0x7F800000) == 0x7F800000] = 0xFF800000  # NaN has many spellings
        return bits.view(np.float32).reshape(ROWS, COLUMNS)
    # Every exponent and sign; NaN left out.
    bits = rng.integers(0, 2**16, ROWS * COLUMNS, dtype=np.uint16)
    bits[:6] = [0, 0x8000, 1, 0x03FF, 0x8200, 0x0400]
    exponent = 0x7C00 if kind == T.F16 else 0x7F80
    bits[(bits & exponent) == exponent] = exponent
    return bits.view(np.uint8).reshape(ROWS, -1)


def to_encode(rng):
    values = (rng.normal(0, 1, (ROWS, COLUMNS)) * np.exp(rng.normal(0, 3, (ROWS, COLUMNS)))).astype(np.float32)
    flat = values.reshape(-1)
    # Ties of halves, subnormal halves and their ties, the largest, what rounds to it, signed zero.
    flat[:14] = [2049, 2051, 1 + 2**-11, 1 + 3 * 2**-11, 2**-24, 2**-25, 3 * 2**-25, -(2**-25), 65504, 65519.99, -65504, -0.0, 0, 2**-14]
    flat[32:64] = 0                          # a block of zeros
    flat[64:96] = np.arange(-16, 16) / 2     # a scale of 8 / 127: quotients near halves
    flat[96:128] = np.arange(32) - 15.5
    flat[96] = 127                           # a scale of 1: exact halves, rounded away from zero
    flat[128:160] = rng.normal(0, 1e-7, 32)  # a scale that is a subnormal half
    flat[160:192] = rng.normal(0, 3e-37, 32)  # a scale that no normal float holds
    return values


def main(path):
    rng = np.random.default_rng(7)
    writer = GGUFWriter(path, "test")
    for kind in (T.F32, T.F16, T.BF16, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q8_0, T.Q4_K, T.Q5_K, T.Q6_K):
        raw = blocks(rng, kind) if kind in HALVES else plain(rng, kind)
        decoded = dequantize(raw, kind).reshape(ROWS, COLUMNS)
        writer.add_tensor("q." + kind.name, raw.view(np.float16) if kind == T.F16 else raw, raw_dtype=None if kind == T.F16 else kind)
        writer.add_tensor("f32." + kind.name, decoded)
    values = to_encode(rng)
    for kind in (T.F16, T.Q8_0):
        writer.add_tensor("in." + kind.name, values)
        encoded = quantize(values, kind)
        writer.add_tensor("out." + kind.name, encoded, raw_dtype=None if kind == T.F16 else kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "gguf_types.gguf")
