#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Learning curves beside transformers and PEFT: the same weights, batches in the same order, AdamW, clipping and learning rate.

  scripts/compare_curves.py [--python EXE] [--steps 50] [--models llama,mistral,qwen2,gpt2 or DIR,...] [--methods full,lora] [--picture FILE.svg]

EXE is a Python with torch, transformers, peft and h5py. A model is a family, of which a small random one is made, or a Hugging Face
directory. The text is this project's documentation as bytes, cut into sequences of 16 to 200 bytes, 32 a step (8 for a directory). Prints for each row the
largest relative difference of the two losses over the steps and the first and last loss; exits 1 when one is above 1e-3, 3 without a
program that it needs. Ours takes its batches from the training's own loader and says which it took; theirs follows, one sequence at a
time without padding."""
import argparse
import glob
import json
import os
import random
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BOUND = 1e-3
LEARNING_RATE = {"full": 1e-3, "lora": 3e-3}

MAKE = """
import sys, torch, transformers
from tokenizers import Tokenizer, models, pre_tokenizers
torch.manual_seed(0)
family, out = sys.argv[1:]
same = dict(vocab_size=256, bos_token_id=0, eos_token_id=0)
llama_like = dict(hidden_size=64, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, intermediate_size=192,
                  max_position_embeddings=512, **same)
config = {"llama": lambda: transformers.LlamaConfig(tie_word_embeddings=True, **llama_like),
          "mistral": lambda: transformers.MistralConfig(sliding_window=64, **llama_like),
          "qwen2": lambda: transformers.Qwen2Config(**llama_like),
          "gpt2": lambda: transformers.GPT2Config(n_embd=64, n_layer=3, n_head=4, n_positions=512, attn_pdrop=0, embd_pdrop=0, resid_pdrop=0, **same)}
transformers.AutoModelForCausalLM.from_config(config[family]()).save_pretrained(out)
alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
bytes_alone = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
bytes_alone.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
bytes_alone.save(out + "/tokenizer.json")
"""

THEIRS = """
import sys, json, torch, h5py, numpy
from transformers import AutoModelForCausalLM
job = json.load(open(sys.argv[1]))
torch.set_num_threads(job["threads"])
m = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32, attn_implementation="eager")
if job["method"] == "lora":
    from peft import LoraConfig, get_peft_model
    from peft.tuners.lora import LoraLayer
    dumped = h5py.File(job["dump"])["adapter"]
    m = get_peft_model(m, LoraConfig(r=8, lora_alpha=16, lora_dropout=0.0, target_modules=sorted({name.split(".")[-1] for name in dumped})))
    adapted = {name.removeprefix("base_model.model."): layer for name, layer in m.named_modules() if isinstance(layer, LoraLayer)}
    assert sorted(adapted) == sorted(dumped), (sorted(adapted), sorted(dumped))
    with torch.no_grad():
        for name, layer in adapted.items():
            layer.lora_A["default"].weight.copy_(torch.from_numpy(numpy.array(dumped[name]["A"])))
            layer.lora_B["default"].weight.copy_(torch.from_numpy(numpy.array(dumped[name]["B"])))
m.train()
parameters = [p for p in m.parameters() if p.requires_grad]
optimizer = torch.optim.AdamW(parameters, lr=job["learning_rate"], betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
losses = []
for batch in job["batches"]:
    labels = sum(len(job["sequences"][i]) - 1 for i in batch)
    optimizer.zero_grad()
    total = 0.0
    for i in batch:
        tokens = torch.tensor(job["sequences"][i])
        loss = torch.nn.functional.cross_entropy(m(tokens[None]).logits[0, :-1], tokens[1:], reduction="sum") / labels
        loss.backward()
        total += float(loss)
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    losses.append(total)
print("RESULT", json.dumps(losses))
"""


def fail(message):
    print("compare_curves: " + message, file=sys.stderr)
    sys.exit(3)


def run(command, **more):
    out = subprocess.run(command, capture_output=True, text=True, **more)
    if out.returncode != 0:
        fail(((out.stderr + out.stdout).strip().splitlines() or [command[0] + " failed"])[-1])
    return out.stdout


def sequences(count):
    """Bytes of the documentation, in pieces of random length."""
    text = b"".join(open(path, "rb").read() for path in sorted(glob.glob(os.path.join(ROOT, "docs", "*.md"))))
    draw = random.Random(1)
    return [list(text[begin : begin + draw.randint(16, 200)]) for begin in (draw.randrange(len(text) - 200) for _ in range(count))]


def curves(options, name, method, folder):
    model = name
    per_step = 8
    if not os.path.isdir(name):
        model = os.path.join(folder, name)
        per_step = 32
        if not os.path.isdir(model):
            run([options.python, "-c", MAKE, name, model])
    job = dict(model=model, method=method, sequences=sequences(options.steps * per_step), sequences_per_step=per_step, warmup=0,
               threads=1 if per_step == 32 else 2,
               steps=options.steps, learning_rate=LEARNING_RATE[method] / (1 if per_step == 32 else 10), curve=True,
               dump=os.path.join(folder, "first.h5"))
    ours = json.loads(run([os.path.join(options.build, "bin", "finescale-worker"), "tool", "step"], input=json.dumps(job)))
    job["batches"] = ours["batches"]
    path = os.path.join(folder, "job.json")
    with open(path, "w") as file:
        json.dump(job, file)
    printed = run([options.python, "-c", THEIRS, path])
    return ours["losses"], json.loads(printed.split("RESULT", 1)[1])


def svg(rows):
    """Losses above (theirs a broad line, ours a thin one on it), relative difference below, one column a row of the table."""
    import math
    width, height, gap = 240, 150, 44
    parts = []
    for column, (title, ours, theirs) in enumerate(rows):
        x0 = 50 + column % 4 * (width + gap)
        y0 = 30 + column // 4 * 330
        low, high = min(ours + theirs), max(ours + theirs)
        def x(step):
            return x0 + width * step / (len(ours) - 1)
        def line(values, style):
            points = " ".join(f"{x(i):.1f},{y:.1f}" for i, y in enumerate(values))
            parts.append(f'<polyline points="{points}" fill="none" {style}/>')
        def loss_y(value):
            return y0 + height * (high - value) / (high - low)
        line([loss_y(v) for v in theirs], 'stroke="#e69f00" stroke-width="5"')
        line([loss_y(v) for v in ours], 'stroke="#0072b2" stroke-width="1.5"')
        top = y0 + height + 34
        def difference_y(value):  # 1e-8 to 1e-3, the bound
            return top + 80 * (-3 - math.log10(min(max(value, 1e-8), 1e-3))) / 5
        line([difference_y(abs(a - b) / b) for a, b in zip(ours, theirs)], 'stroke="#555" stroke-width="1"')
        for y, text in ((loss_y(high), f"{high:.2f}"), (loss_y(low), f"{low:.2f}"), (top, "1e-3"), (top + 80, "1e-8")):
            parts.append(f'<text x="{x0 - 6}" y="{y + 4:.0f}" text-anchor="end">{text}</text>')
        for base, tall in ((y0, height), (top, 80)):
            parts.append(f'<rect x="{x0}" y="{base}" width="{width}" height="{tall}" fill="none" stroke="#999"/>')
        parts.append(f'<text x="{x0}" y="{y0 - 8}" font-weight="bold">{title}</text><text x="{x0}" y="{top - 6}">relative difference</text>'
                     f'<text x="{x0 + width}" y="{top + 96}" text-anchor="end">step {len(ours)}</text>')
    lines = (len(rows) + 3) // 4
    total = (50 + min(len(rows), 4) * (width + gap), 40 + lines * 330)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total[0]} {total[1]}" font-family="sans-serif" font-size="12">\n'
            f'<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(parts)
            + f'\n<text x="50" y="{total[1] - 14}">loss per token: <tspan fill="#0072b2">finescale</tspan> on '
              '<tspan fill="#b87f00">transformers / PEFT</tspan></text>\n</svg>\n')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--models", default="llama,mistral,qwen2,gpt2")
    parser.add_argument("--methods", default="full,lora")
    parser.add_argument("--picture")
    options = parser.parse_args()
    rows = []
    worst = 0.0
    print("largest relative difference of the losses over all steps", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in options.models.split(","):
            for method in options.methods.split(","):
                if (name, method) == ("gpt2", "lora"):
                    continue  # PEFT has one adapter for its fused query, key and value, we one for each
                ours, theirs = curves(options, name, method, folder)
                difference = max(abs(a - b) / b for a, b in zip(ours, theirs))
                worst = max(worst, difference)
                title = f"{os.path.basename(name.rstrip('/'))}, {method}"
                rows.append((title, ours, theirs))
                print(f"{title:24} {difference:.1e}   loss {ours[0]:.4f} -> {ours[-1]:.4f}, theirs {theirs[0]:.4f} -> {theirs[-1]:.4f}", flush=True)
    if options.picture:
        with open(options.picture, "w") as file:
            file.write(svg(rows))
    sys.exit(1 if worst > BOUND else 0)


if __name__ == "__main__":
    main()
