#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What model_commands.sh exported, loaded by transformers and PEFT: the same log-probabilities and logits as `finescale score`.

export_peers.py BIN_DIR WORK_DIR of model_commands.sh. Exit code 77: the libraries are not there."""
import json
import os
import random
import subprocess
import sys

try:
    import torch
    from peft import PeftModel
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
            logits = model(input_ids=torch.tensor([ids])).logits[0].float()
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
tokenizer = AutoTokenizer.from_pretrained("hf")
assert tokenizer("a word")["input_ids"], "the tokenizer encodes nothing"
print("ok")
