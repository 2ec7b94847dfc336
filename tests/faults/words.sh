# SPDX-License-Identifier: Apache-2.0
# Sourced by tests that treat a sweep badly: a task on text that is made here (words and their reversal) and a sweep over it.

write_words() {  # train.jsonl, eval.jsonl and text.jsonl in the current directory
  awk 'BEGIN { srand(7); for (i = 0; i < 700; i++) { w = ""; n = 3 + int(rand() * 5); for (j = 0; j < n; j++) w = w sprintf("%c", 97 + int(rand() * 12));
    r = ""; for (j = n; j > 0; j--) r = r substr(w, j, 1); printf "{\"prompt\": \"%s\", \"response\": \"%s\"}\n", w, r > (i < 64 ? "eval.jsonl" : "train.jsonl");
    printf "{\"text\": \"%s %s\"}\n", w, r > "text.jsonl" } }'
}

write_word_sweep() {  # write_word_sweep NAME TRAIN_FIELDS SEEDS: sweep.yaml; further lines come on standard input
  cat >sweep.yaml <<END
name: $1
base:
  preset: tiny
  tokenizer: {train: {vocab_size: 300}}
  pretrain: {data: text.jsonl, train: {steps: 30, learning_rate: 3e-3, batch: {tokens: 1024}, save_every: 10}}
data:
  train: train.jsonl
  eval: [{name: held_out, path: eval.jsonl}]
trial:
  stages:
    - train: {learning_rate: 3e-3, batch: {examples: 8}, save_every: 7, $2}
    - evaluate: {metrics: [loss, exact_match], max_new_tokens: 12}
axes:
  train.method: [full, {lora: {rank: 4}}]
  train.data_budget: [50, 100, 200, 400]
  seed: $3
END
  cat >>sweep.yaml
}
