#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Adapters that have trained some steps, beside PEFT with the same values: loss and gradients of the next batch.

peft_gradients.py BIN_DIR. Exit code 77: the libraries are not there."""
import json
import os
import random
import subprocess
import sys
import tempfile

try:
    import h5py
    import torch
    from peft import IA3Config, LoraConfig, PrefixTuningConfig, PromptTuningConfig, VeraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
except ImportError as error:
    print("skipped:", error)
    sys.exit(77)

TOLERANCE = 2e-4  # relative to the largest element of a tensor, f32 on both sides
VOCAB, STEPS, BATCH, LAYERS = 96, 3, 4, 2
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
KINDS = {
    "lora": ("{lora: {rank: 4, alpha: 6}}", LoraConfig(r=4, lora_alpha=6, target_modules=ALL)),
    "rslora": ("{lora: {rank: 4, alpha: 6, scale: root}}", LoraConfig(r=4, lora_alpha=6, use_rslora=True, target_modules=ALL)),
    "dora": ("{dora: {rank: 3, alpha: 6, target_modules: [q_proj, v_proj, down_proj]}}",
             LoraConfig(r=3, lora_alpha=6, use_dora=True, target_modules=["q_proj", "v_proj", "down_proj"])),
    "ia3": ("ia3", IA3Config(target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"])),
    "vera": ("{vera: {rank: 6, target_modules: [q_proj, v_proj, o_proj, up_proj, down_proj]}}",
             VeraConfig(r=6, target_modules=["q_proj", "v_proj", "o_proj", "up_proj", "down_proj"])),
    "prompt": ("{prompt_tuning: {num_virtual_tokens: 5}}", PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5)),
    "prefix": ("{prefix_tuning: {num_virtual_tokens: 5}}", PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5)),
    "projected": ("{prefix_tuning: {num_virtual_tokens: 5, prefix_projection: true, encoder_hidden_size: 12}}",
                  PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5, prefix_projection=True, encoder_hidden_size=12)),
}
PARTS = {"lora_A": "A", "lora_B": "B", "lora_magnitude_vector": "M", "ia3_l": "L", "vera_lambda_b": "b", "vera_lambda_d": "d"}
SEED, ADAPTER = 1, 2  # of the stage; Purpose::kAdapter
STREAMS = {"vera/A": 0x9ae9657103beab29, "vera/B": 0x104959c5116afbe2}  # the names' XXH3-128, first half


def words(counter, stream):
    """Philox 4x32-10 as core/random.h keys it."""
    mask = 2**32 - 1
    x = [counter & mask, counter >> 32, stream & mask, stream >> 32]
    key = [(SEED ^ (ADAPTER * 0x85EBCA6B)) & mask, (ADAPTER * 0xC2B2AE35) & mask]
    for _ in range(10):
        one, two = 0xD2511F53 * x[0], 0xCD9E8D57 * x[2]
        x = [(two >> 32) ^ x[1] ^ key[0], two & mask, (one >> 32) ^ x[3] ^ key[1], one & mask]
        key = [(key[0] + 0x9E3779B9) & mask, (key[1] + 0xBB67AE85) & mask]
    return x


def random_matrix(name, shape):
    """Of VeRA: uniform in +-sqrt(6 / columns), two numbers a block."""
    stream = STREAMS[name]
    values = []
    for i in range(shape[0] * shape[1]):
        block = words(i // 2, stream)
        bits = block[i % 2 * 2] | block[i % 2 * 2 + 1] << 32
        values.append((2 * (bits >> 11) * 2.0**-53 - 1) * (6 / shape[1]) ** 0.5)
    return torch.tensor(values).reshape(shape)


def ours(file, group, theirs):
    """What our file has of a parameter of PEFT's."""
    encoder = {"embedding.weight": "E", "transform.0.weight": "W1", "transform.0.bias": "b1", "transform.2.weight": "W2",
               "transform.2.bias": "b2"}
    if not theirs.startswith("prompt_encoder"):
        return torch.from_numpy(file[f"{group}/{our_name(theirs)}"][()])
    for stem in ("model.embed_prompt", "model.embed_prefix"):
        if f"{group}/{stem}" in file:
            return torch.from_numpy(file[f"{group}/{stem}/{encoder[theirs.split('.', 2)[2]]}"][()])
    parts = [file[f"{group}/model.layers.{layer}.self_attn.prefix/{part}"][()] for layer in range(LAYERS) for part in "KV"]
    return torch.cat([torch.from_numpy(part) for part in parts], 1)


def our_name(theirs):
    """base_model.model.model.layers.0.mlp.up_proj.lora_A.default.weight: model.layers.0.mlp.up_proj/A"""
    module, part = theirs.removeprefix("base_model.model.").rsplit(next(f".{p}." for p in PARTS if f".{p}." in theirs), 1)[0], \
        next(PARTS[p] for p in PARTS if f".{p}." in theirs)
    return f"{module}/{part}"


def check(name, directory, binary):
    method, config = KINDS[name]
    rng = random.Random(5)
    sequences = [[rng.randrange(3, VOCAB) for _ in range(rng.randrange(4, 24))] for _ in range(STEPS * BATCH)]
    path = f"{directory}/{name}.h5"
    request = {"model": f"{directory}/base", "method": method, "sequences": sequences, "sequences_per_step": BATCH, "steps": STEPS,
               "warmup": 0, "learning_rate": 2e-2, "curve": True, "dump": path, "dump_at": STEPS - 1}
    answer = json.loads(subprocess.run([binary, "tool", "step"], input=json.dumps(request), check=True, capture_output=True,
                                       text=True).stdout)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(f"{directory}/base", dtype=torch.float32), config).eval()
    worst = 0.0
    with h5py.File(path) as file:
        trained = {key: value for key, value in model.named_parameters() if value.requires_grad}
        with torch.no_grad():
            for key, value in trained.items():
                value.copy_(ours(file, "adapter", key).reshape(value.shape))
        for key, value in model.named_buffers():
            if key.endswith(("vera_A.default", "vera_B.default")):
                value.copy_(random_matrix("vera/A" if "vera_A" in key else "vera/B", tuple(value.shape)))
        batch = [sequences[i] for i in answer["batches"][STEPS - 1]]
        labels = sum(len(ids) - 1 for ids in batch)
        total = 0
        for ids in batch:
            tokens = torch.tensor([ids])
            logits = model(input_ids=tokens).logits[0, -len(ids):]  # behind those of virtual tokens
            total = total + torch.nn.functional.cross_entropy(logits[:-1], tokens[0, 1:], reduction="sum")
        loss = total / labels
        loss.backward()
        assert abs(loss.item() - answer["losses"][STEPS - 1]) < 1e-5 * loss.item(), (name, loss.item(), answer["losses"])
        for key, value in trained.items():
            found = ours(file, "gradient", key).reshape(value.shape)
            largest = value.grad.abs().max().item()
            assert largest > 0, key
            worst = max(worst, (found - value.grad).abs().max().item() / largest)
    print(f"{name}: {len(trained)} tensors, largest relative difference of gradients {worst:.1e}")
    assert worst < TOLERANCE, name


torch.manual_seed(1)
torch.set_num_threads(1)
with tempfile.TemporaryDirectory() as place:
    LlamaForCausalLM(LlamaConfig(vocab_size=VOCAB, hidden_size=32, intermediate_size=48, num_hidden_layers=LAYERS, num_attention_heads=4,
                                 num_key_value_heads=2, max_position_embeddings=64, initializer_range=0.2,
                                 tie_word_embeddings=False)).save_pretrained(f"{place}/base")
    with open(f"{place}/base/tokenizer.json", "w") as file:  # a model has one; the sequences are ids
        file.write("{}")
    for kind in KINDS:
        check(kind, place, os.path.abspath(sys.argv[1]) + "/finescale-worker")
print("ok")
