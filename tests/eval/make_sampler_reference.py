# SPDX-License-Identifier: Apache-2.0
"""Writes sampler_reference.json: what transformers' logits processors leave of logits, in generate's order.

    python make_sampler_reference.py > sampler_reference.json     (needs torch and transformers)
"""
import json

import torch
from transformers import (LogitsProcessorList, MinPLogitsWarper, RepetitionPenaltyLogitsProcessor, TemperatureLogitsWarper,
                          TopKLogitsWarper, TopPLogitsWarper)

CASES = [
    {"temperature": 1.0}, {"temperature": 0.7}, {"temperature": 1.7, "repetition_penalty": 1.3},
    {"temperature": 1.0, "top_k": 5}, {"temperature": 0.8, "top_k": 1}, {"temperature": 1.0, "top_k": 7, "ties": True},
    {"temperature": 1.0, "top_p": 0.9}, {"temperature": 0.5, "top_p": 0.35}, {"temperature": 2.0, "top_p": 0.999},
    {"temperature": 1.0, "top_p": 0.01}, {"temperature": 1.0, "min_p": 0.1}, {"temperature": 1.5, "min_p": 0.02},
    {"temperature": 0.9, "top_k": 12, "top_p": 0.8}, {"temperature": 1.2, "top_k": 20, "top_p": 0.95, "min_p": 0.05},
    {"temperature": 0.6, "top_k": 9, "top_p": 0.9, "min_p": 0.1, "repetition_penalty": 1.8},
    {"temperature": 1.1, "top_p": 0.7, "repetition_penalty": 0.6},
]


def processors(case):
    out = LogitsProcessorList()
    if "repetition_penalty" in case:
        out.append(RepetitionPenaltyLogitsProcessor(penalty=case["repetition_penalty"]))
    if case["temperature"] != 1.0:
        out.append(TemperatureLogitsWarper(case["temperature"]))
    if "top_k" in case:
        out.append(TopKLogitsWarper(top_k=case["top_k"]))
    if "top_p" in case:
        out.append(TopPLogitsWarper(top_p=case["top_p"]))
    if "min_p" in case:
        out.append(MinPLogitsWarper(min_p=case["min_p"]))
    return out


torch.manual_seed(0)
cases = []
for case in CASES:
    logits = (torch.randn(1, 40) * 3).round(decimals=4)
    if case.pop("ties", False):
        logits = logits.round()
    seen = torch.randint(0, 40, (1, 12))
    scores = processors(case)(seen, logits.clone())
    probabilities = torch.softmax(scores.double(), dim=-1)[0]
    kept = [i for i in range(40) if scores[0, i] > -float("inf")]
    cases.append({"options": case, "logits": [round(v, 4) for v in logits[0].tolist()], "seen": sorted(set(seen[0].tolist())),
                  "tokens": kept, "probabilities": [round(probabilities[i].item(), 9) for i in kept]})
print(json.dumps({"cases": cases}))
