#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What model_commands.sh exported, loaded by transformers and PEFT, and adapters that PEFT writes: the same log-probabilities and
logits as `finescale score`.

export_peers.py BIN_DIR WORK_DIR of model_commands.sh. Exit code 77: the libraries are not there."""
import json
import os
import random
import subprocess
import sys

try:
    import torch
    from peft import IA3Config, LoraConfig, PeftModel, PrefixTuningConfig, PromptTuningConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer
except ImportError as error:
    print("skipped:", error)
    sys.exit(77)

LOGIT_TOLERANCE = 2e-4  # absolute, f32 on both sides
bin_dir, work = os.path.abspath(sys.argv[1]), sys.argv[2]
os.chdir(work)
os.environ["HF_HUB_OFFLINE"] = "1"
random.seed(3)
examples = [[random.randrange(5, 380) for _ in range(length)] for length in (2, 17, 40)]
with open("ids.jsonl", "w") as out:
    for ids in examples:
        print(json.dumps({"ids": ids}), file=out)


def ours(model):
    answer = subprocess.run([f"{bin_dir}/finescale", "score", model, "--data", "ids.jsonl", "--top", "10", "--json"],
                            check=True, capture_output=True, text=True)
    return json.loads(answer.stdout)["examples"]


def compare(name, model, scores):
    worst = 0.0
    for ids, score in zip(examples, scores):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids])).logits[0, -len(ids):].float()  # behind those of virtual tokens
        logprobs = torch.log_softmax(logits, -1)
        for t in range(1, len(ids)):
            worst = max(worst, abs(logprobs[t - 1, ids[t]].item() - score["logprobs"][t]))
        for entry in score["top"]:
            worst = max(worst, abs(logits[-1, entry["id"]].item() - entry["logit"]))
    print(f"{name}: largest difference {worst:.2e}")
    assert worst < LOGIT_TOLERANCE, name


base = AutoModelForCausalLM.from_pretrained("hf", dtype=torch.float32).eval()
compare("hf", base, ours("hf"))
compare("merged", AutoModelForCausalLM.from_pretrained("merged", dtype=torch.float32).eval(), ours("merged"))
compare("peft", PeftModel.from_pretrained(base, "peft").eval(), ours("peft"))
for name in ("peft-prompt_tuning", "peft-prefix_tuning", "peft-prefix_projection"):
    own = AutoModelForCausalLM.from_pretrained("hf", dtype=torch.float32)
    compare(name, PeftModel.from_pretrained(own, name).eval(), ours(name))

# Made by PEFT, with values far from those that it begins with.
torch.manual_seed(1)
kinds = {
    "dora": LoraConfig(r=2, lora_alpha=5, use_dora=True, target_modules=["q_proj", "o_proj", "down_proj"]),
    "patterns": LoraConfig(r=4, lora_alpha=8, use_rslora=True, target_modules=["q_proj", "v_proj", "gate_proj"],
                           rank_pattern={"v_proj": 2}, alpha_pattern={"layers.1.self_attn.q_proj": 3}),
    "ia3": IA3Config(target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"]),
    "prompt": PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=7),
    "prefix": PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=6),
    "projected": PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=6, prefix_projection=True, encoder_hidden_size=8),
}
for name, config in kinds.items():
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained("hf", dtype=torch.float32), config).eval()
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.mul_(1 + 0.3 * torch.randn_like(parameter)).add_(0.05 * torch.randn_like(parameter))
    adapted.save_pretrained("peft-" + name)
    compare(name, adapted, ours("peft-" + name))
tokenizer = AutoTokenizer.from_pretrained("hf")
assert tokenizer("a word")["input_ids"], "the tokenizer encodes nothing"
print("ok")
