#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Exported GGUF files in the hands of other programs: bytes of every tensor against the reference
# quantiser, logits and token ids of transformers' own GGUF loader against the model it came from.
#   gguf_peers.py BIN WORK_DIR       exits 77 (skipped) without the packages or the reference models
import os
import pathlib
import shutil
import subprocess
import sys

try:
    import numpy as np
    import torch
    from gguf import GGUFReader, GGMLQuantizationType
    from gguf.quants import quantize
    from transformers import AutoModelForCausalLM, AutoTokenizer
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = pathlib.Path(os.environ.get("FINESCALE_SHARED", ROOT / ".." / "shared")) / "reference" / "hf"
LAYER = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj",
         "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
         "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
OUTER = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}


def theirs(name):
    words = name.split(".")
    return f"model.layers.{words[1]}.{LAYER[words[2]]}.{words[3]}" if words[0] == "blk" else f"{OUTER[words[0]]}.{words[1]}"


def permute(weights, heads):
    return weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:]).swapaxes(1, 2).reshape(weights.shape)


def check_bytes(path, model, config):
    for tensor in GGUFReader(path).tensors:
        values = model.state_dict()[theirs(tensor.name)].float().numpy()
        if config.model_type == "llama" and (".attn_q." in tensor.name or ".attn_k." in tensor.name):
            values = permute(values, config.num_attention_heads if ".attn_q." in tensor.name else config.num_key_value_heads)
        wanted = np.ascontiguousarray(quantize(values, GGMLQuantizationType(tensor.tensor_type)))
        assert wanted.tobytes() == tensor.data.tobytes(), f"{path}: {tensor.name} differs"


def check_model(path, model, config):
    loaded = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    ids = torch.arange(5, 25)[None] % config.vocab_size
    with torch.no_grad():
        worst = (loaded(ids).logits - model(ids).logits).abs().max().item()
    assert worst < 1e-4, f"{path}: logits differ by {worst}"
    return worst


def check_tokens(path, source):
    one, other = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name), AutoTokenizer.from_pretrained(source)
    for text in ("a b", "The cats sat on 12 mats.", "na\u00efve \u6771\u4eac \U0001f642\n\n  x"):
        got, wanted = (t(text, add_special_tokens=False)["input_ids"] for t in (one, other))
        assert got == wanted, f"{path}: {text!r} is {got}, was {wanted}"


def main(binaries, work):
    if not MODELS.exists():
        print(f"skipped: no reference models at {MODELS}")
        sys.exit(77)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    for name in ("llama-tied", "llama-gqa-untied", "qwen2-bias-bf16"):
        model = AutoModelForCausalLM.from_pretrained(MODELS / name, dtype=torch.float32)
        for kind in ("f32", "f16", "q8_0"):
            path = work / f"{name}-{kind}.gguf"
            subprocess.run([binaries / "finescale", "export", MODELS / name, "--to", path, "--format", "gguf", "--type", kind], check=True)
            check_bytes(path, model, model.config)
        exact = work / f"{name}-f32.gguf"
        worst = check_model(exact, model, model.config)
        if name == "llama-tied":  # the loader knows no tokenizer that cuts digits apart
            check_tokens(exact, MODELS / name)
        print(f"{name}: bytes equal in f32, f16 and q8_0; logits within {worst:.1e}")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
