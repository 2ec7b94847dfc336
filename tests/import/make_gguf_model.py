#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Makes gguf_llama.gguf, a llama of one layer as converters write it (rows of q and k permuted for
# interleaved rotation, several types of tensors, Llama 3.1's frequencies), and
# gguf_llama_expected.gguf, the same weights as f32 under finescale's names (pip install gguf).
import math
import sys

import numpy as np
from gguf import GGUFWriter, GGMLQuantizationType as T
from gguf.quants import dequantize, quantize

WIDTH, HEADS, KV_HEADS, HEAD, FFN, VOCAB = 32, 4, 2, 16, 64, 48
THETA, FACTOR, LOW, HIGH, CONTEXT = 500000.0, 8.0, 1.0, 4.0, 8192


def permute(weights, heads):  # as the converters do
    return weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:]).swapaxes(1, 2).reshape(weights.shape)


def unpermute(weights, heads):
    return weights.reshape(heads, weights.shape[0] // heads // 2, 2, *weights.shape[1:]).swapaxes(1, 2).reshape(weights.shape)


def rope_factors():
    factors = []
    for frequency in 1.0 / THETA ** (np.arange(0, HEAD, 2, dtype=np.float32) / HEAD):
        wavelength = 2 * math.pi / frequency
        if wavelength < CONTEXT / HIGH:
            factors.append(1)
        elif wavelength > CONTEXT / LOW:
            factors.append(FACTOR)
        else:
            smooth = (CONTEXT / wavelength - LOW) / (HIGH - LOW)
            factors.append(1 / ((1 - smooth) / FACTOR + smooth))
    return np.array(factors, dtype=np.float32)


def main(path, expected_path):
    rng = np.random.default_rng(11)
    layer = "model.layers.0."
    tensors = [  # ours, theirs, shape, type, heads of the permutation
        ("model.embed_tokens.weight", "token_embd.weight", (VOCAB, WIDTH), T.Q8_0, 0),
        ("model.norm.weight", "output_norm.weight", (WIDTH,), T.F32, 0),
        ("lm_head.weight", "output.weight", (VOCAB, WIDTH), T.Q4_1, 0),
        (layer + "input_layernorm.weight", "blk.0.attn_norm.weight", (WIDTH,), T.F32, 0),
        (layer + "post_attention_layernorm.weight", "blk.0.ffn_norm.weight", (WIDTH,), T.F32, 0),
        (layer + "self_attn.q_proj.weight", "blk.0.attn_q.weight", (HEADS * HEAD, WIDTH), T.Q4_1, HEADS),
        (layer + "self_attn.k_proj.weight", "blk.0.attn_k.weight", (KV_HEADS * HEAD, WIDTH), T.F16, KV_HEADS),
        (layer + "self_attn.v_proj.weight", "blk.0.attn_v.weight", (KV_HEADS * HEAD, WIDTH), T.BF16, 0),
        (layer + "self_attn.o_proj.weight", "blk.0.attn_output.weight", (WIDTH, HEADS * HEAD), T.Q5_0, 0),
        (layer + "mlp.gate_proj.weight", "blk.0.ffn_gate.weight", (FFN, WIDTH), T.Q4_0, 0),
        (layer + "mlp.up_proj.weight", "blk.0.ffn_up.weight", (FFN, WIDTH), T.Q5_1, 0),
        (layer + "mlp.down_proj.weight", "blk.0.ffn_down.weight", (WIDTH, FFN), T.F32, 0),
    ]
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(THETA)
    writer.add_rope_dimension_count(HEAD)
    writer.add_tensor("rope_freqs.weight", rope_factors())
    expected = GGUFWriter(expected_path, "test")
    for ours, theirs, shape, kind, heads in tensors:
        values = rng.normal(1 if len(shape) == 1 else 0, 0.2, shape).astype(np.float32)
        stored = quantize(permute(values, heads) if heads else values, kind)
        back = dequantize(stored, kind).reshape(shape)
        writer.add_tensor(theirs, stored, raw_dtype=None if kind in (T.F32, T.F16) else kind)
        expected.add_tensor(ours, unpermute(back, heads) if heads else back)
    for one in (writer, expected):
        one.write_header_to_file()
        one.write_kv_data_to_file()
        one.write_tensors_to_file()
        one.close()


if __name__ == "__main__":
    main(*(sys.argv[1:3] if len(sys.argv) > 2 else ("gguf_llama.gguf", "gguf_llama_expected.gguf")))
