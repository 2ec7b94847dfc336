#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Writes the seeds of the fuzzers: make_corpus.py [TARGET...]. What fuzzers found lies beside them under found-*, and stays.
import json
import pathlib
import struct
import sys

HERE = pathlib.Path(__file__).parent
TESTS = HERE.parent


def tensor(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def safetensors():
    def file(header, data):
        text = json.dumps(header).encode()
        return struct.pack("<Q", len(text)) + text + data
    yield "types", file({"__metadata__": {"format": "pt"}, "a": tensor("BF16", [2, 3], 0, 12), "b": tensor("F32", [1], 12, 16),
                         "c": tensor("F64", [], 16, 24), "d": tensor("F16", [1, 2, 1, 1], 24, 28), "e": tensor("F32", [0, 7], 28, 28),
                         "f": tensor("U8", [3], 28, 31)}, bytes(range(31)))
    yield "empty", file({}, b"")
    yield "overlap", file({"a": tensor("F32", [2], 0, 8), "b": tensor("F32", [2], 4, 12)}, bytes(12))
    yield "oversized", file({"a": tensor("F32", [1 << 40, 1 << 30], 0, 1 << 62)}, bytes(4))
    yield "confused", file({"a": {"dtype": [], "shape": {"x": -1}, "data_offsets": "0"}}, b"")
    yield "long_header", struct.pack("<Q", 1 << 63) + b"{}"


NESTED = b"[" * 5000


def safetensors_index():
    yield "nested", b'{"weight_map": {"a": ' + NESTED
    yield "sound", json.dumps({"metadata": {"total_size": 8}, "weight_map": {"a": "a.safetensors", "b": "b.safetensors"}}).encode()
    yield "outside", b'{"weight_map": {"a": "../a.safetensors", "c": "c.safetensors", "d": 1}}'
    yield "other_tensor", b'{"weight_map": {"z": "a.safetensors"}}'
    yield "long_name", json.dumps({"weight_map": {"a": "a" * 300}}).encode()


class Gguf:
    """A GGUF file, version 3. Types of values are those of the format."""
    U32, F32, BOOL, STRING, ARRAY, U64, I32 = 4, 6, 7, 8, 9, 10, 5
    PACK = {0: "B", 1: "b", 2: "H", 3: "h", U32: "I", I32: "i", F32: "f", BOOL: "?", U64: "Q", 11: "q", 12: "d"}

    def __init__(self):
        self.keys, self.tensors, self.data = [], [], b""

    def value(self, kind, value):
        if kind == self.STRING:
            text = value.encode()
            return struct.pack("<Q", len(text)) + text
        if kind == self.ARRAY:
            item, values = value
            return struct.pack("<IQ", item, len(values)) + b"".join(self.value(item, one) for one in values)
        return struct.pack("<" + self.PACK[kind], value)

    def key(self, name, kind, value):
        self.keys.append(self.value(self.STRING, name) + struct.pack("<I", kind) + self.value(kind, value))

    def tensor(self, name, kind, dims, data, offset=None):  # dims innermost first
        self.data += bytes(-len(self.data) % 32)
        offset = len(self.data) if offset is None else offset
        self.tensors.append(self.value(self.STRING, name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset))
        self.data += data

    def bytes(self):
        head = b"GGUF" + struct.pack("<IQQ", 3, len(self.tensors), len(self.keys)) + b"".join(self.keys + self.tensors)
        return head + bytes(-len(head) % 32) + self.data


def gguf_llama(vocabulary):
    file, width, tokens = Gguf(), 4, len(vocabulary)
    file.key("general.architecture", Gguf.STRING, "llama")
    for name, value in (("embedding_length", width), ("block_count", 1), ("attention.head_count", 2), ("attention.head_count_kv", 1),
                        ("feed_forward_length", 8), ("context_length", 16), ("rope.dimension_count", 2)):
        file.key("llama." + name, Gguf.U32, value)
    file.key("llama.attention.layer_norm_rms_epsilon", Gguf.F32, 1e-5)
    ones = lambda count: struct.pack(f"<{count}f", *(1.0 for _ in range(count)))
    for name, dims in (("token_embd.weight", (width, tokens)), ("output_norm.weight", (width,)), ("blk.0.attn_norm.weight", (width,)),
                       ("blk.0.attn_q.weight", (width, width)), ("blk.0.attn_k.weight", (width, 2)), ("blk.0.attn_v.weight", (width, 2)),
                       ("blk.0.attn_output.weight", (width, width)), ("blk.0.ffn_norm.weight", (width,)), ("blk.0.ffn_gate.weight", (width, 8)),
                       ("blk.0.ffn_up.weight", (width, 8)), ("blk.0.ffn_down.weight", (8, width)), ("rope_freqs.weight", (1,))):
        file.tensor(name, 0, dims, ones(dims[0] * (dims[1] if len(dims) > 1 else 1)))
    return file


def gguf():
    types = Gguf()
    for kind, value in ((0, 200), (1, -5), (2, 60000), (3, -3), (4, 7), (5, -7), (6, 1.5), (7, True), (8, "text"), (10, 1 << 40), (11, -9), (12, 0.1)):
        types.key(f"key{kind}", kind, value)
    types.key("texts", Gguf.ARRAY, (Gguf.STRING, ["a", ""]))
    types.key("nested", Gguf.ARRAY, (Gguf.ARRAY, [(0, [1, 2]), (Gguf.STRING, ["x"])]))
    types.key("general.alignment", Gguf.U32, 32)
    for kind, elements, size in ((0, 1, 4), (1, 1, 2), (30, 1, 2), (2, 32, 18), (3, 32, 20), (6, 32, 22), (7, 32, 24), (8, 32, 34),
                                 (12, 256, 144), (13, 256, 176), (14, 256, 210)):
        types.tensor(f"t{kind}", kind, (elements, 1), bytes(i * 37 % 256 for i in range(size)))
    yield "types", types.bytes()
    pieces = ["<unk>", "<s>", "</s>", "<0x0A>", "\u2581", "a", "b", "\u2581a", "ab"]
    sentencepiece = gguf_llama(pieces)
    sentencepiece.key("tokenizer.ggml.model", Gguf.STRING, "llama")
    sentencepiece.key("tokenizer.ggml.tokens", Gguf.ARRAY, (Gguf.STRING, pieces))
    sentencepiece.key("tokenizer.ggml.scores", Gguf.ARRAY, (Gguf.F32, [-float(i) for i in range(len(pieces))]))
    sentencepiece.key("tokenizer.ggml.token_type", Gguf.ARRAY, (Gguf.I32, [2, 3, 3, 6, 1, 1, 1, 1, 1]))
    for name, value in (("bos", 1), ("eos", 2), ("unknown", 0)):
        sentencepiece.key(f"tokenizer.ggml.{name}_token_id", Gguf.U32, value)
    sentencepiece.key("tokenizer.ggml.add_space_prefix", Gguf.BOOL, True)
    sentencepiece.key("tokenizer.chat_template", Gguf.STRING, "{{ messages[0].content }}")
    yield "sentencepiece", sentencepiece.bytes()
    pieces = ["<|end|>", "a", "b", "\u0120", "\u010a", "ab", "\u0120a"]
    bpe = gguf_llama(pieces)
    bpe.key("tokenizer.ggml.model", Gguf.STRING, "gpt2")
    bpe.key("tokenizer.ggml.pre", Gguf.STRING, "llama-bpe")
    bpe.key("tokenizer.ggml.tokens", Gguf.ARRAY, (Gguf.STRING, pieces))
    bpe.key("tokenizer.ggml.token_type", Gguf.ARRAY, (Gguf.I32, [3, 1, 1, 1, 1, 1, 1]))
    bpe.key("tokenizer.ggml.merges", Gguf.ARRAY, (Gguf.STRING, ["a b", "\u0120 a"]))
    bpe.key("tokenizer.ggml.eos_token_id", Gguf.U32, 0)
    yield "bpe", bpe.bytes()
    overlap = gguf_llama(pieces)
    overlap.tensor("output.weight", 0, (4, 7), bytes(112), offset=32)
    yield "overlap", overlap.bytes()
    oversized = gguf_llama(pieces)
    oversized.tensor("output.weight", 0, (1 << 40, 1 << 20), bytes(112))
    yield "oversized", oversized.bytes()
    confused = Gguf()
    confused.key("general.architecture", Gguf.STRING, "llama")
    confused.key("llama.context_length", Gguf.STRING, "16")
    yield "confused", confused.bytes()
    yield "counts", b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 1 << 61)
    yield "layers", sentencepiece.bytes().replace(b"llama.block_count" + struct.pack("<II", 4, 1), b"llama.block_count" + struct.pack("<II", 4, 0x7FFFFFFF))


def model_config():
    yield "nested", b'{"model_type": ' + NESTED + b"]" * 5000 + b"}"
    common = {"vocab_size": 32, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
              "intermediate_size": 32, "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "hidden_act": "silu"}
    llama3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}
    more = {
        "llama": {"architectures": ["LlamaForCausalLM"], "rope_theta": 5e5, "rope_scaling": llama3, "tie_word_embeddings": True, "eos_token_id": [1, 2]},
        "mistral": {"sliding_window": 8, "head_dim": 4},
        "qwen2": {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
        "qwen3": {"head_dim": 8, "attention_bias": False},
        "gemma": {"head_dim": 8, "hidden_act": "gelu_pytorch_tanh"},
        "gpt_neox": {"rotary_pct": 0.5, "hidden_act": "gelu", "use_parallel_residual": True, "layer_norm_eps": 1e-5},
        "phi": {"partial_rotary_factor": 0.5, "hidden_act": "gelu_new", "layer_norm_eps": 1e-5},
    }
    for kind, fields in more.items():
        yield kind, json.dumps({"model_type": kind, **common, **fields}).encode()
    yield "gpt2", json.dumps({"model_type": "gpt2", "vocab_size": 32, "n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 64,
                              "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5}).encode()
    yield "layers", json.dumps({"model_type": "llama", **common, "num_hidden_layers": 200_000_000}).encode()
    yield "confused", json.dumps({"model_type": "llama", **common, "hidden_size": "16", "rope_scaling": [], "architectures": {"a": 1}}).encode()


def side_files():
    yield "nested", b'{"eos_token": {"content": ' + NESTED + b"]" * 5000 + b"}}"
    yield "tokens", json.dumps({"bos_token": "<s>", "eos_token": {"content": "</s>", "special": True}, "unk_token": None,
                                "chat_template": [{"name": "tool_use", "template": "x"}, {"name": "default", "template": "{{ bos_token }}"}]}).encode()
    yield "template", b'{"chat_template": "{% for m in messages %}{{ m.content }}{% endfor %}"}'
    yield "generation", json.dumps({"eos_token_id": [1, 2], "do_sample": True, "temperature": 0.6, "top_p": 0.9, "top_k": 20, "min_p": 0,
                                    "repetition_penalty": 1.1}).encode()
    yield "lora", json.dumps({"peft_type": "LORA", "r": 8, "lora_alpha": 16, "use_dora": False, "use_rslora": True, "bias": "none",
                              "rank_pattern": {"q_proj": 4}, "alpha_pattern": {"layers.0.q_proj": 8.0}, "base_model_name_or_path": "m"}).encode()
    yield "ia3", b'{"peft_type": "IA3", "target_modules": ["k_proj"], "feedforward_modules": []}'
    yield "numbers", b'{"eos_token_id": 18446744073709551615, "top_k": 1e300, "temperature": -1e999, "peft_type": "LORA", "r": 1e300}'


def tokenizer_json():
    """Every kind of normaliser, pre-tokenizer, post-processor and decoder of the fixtures with a tiny model, a few in each file."""
    fixtures = json.loads((TESTS / "data/tokenizers/fixtures.json").read_text())["fixtures"]
    models = [{"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "vocab": {"[UNK]": 0, "a": 1, "##a": 2, "caf": 3}},
              {"type": "BPE", "byte_fallback": True, "unk_token": "<unk>", "vocab": {"<unk>": 0, "a": 1, "aa": 2, "<0x0A>": 3, "b": 4, "ab": 5},
               "merges": ["a a", ["a", "b"]]},
              {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["a", -1.5], ["aa", -2.0], ["\u2581", -3.0]]}]
    seen, number = set(), 0
    for fixture in fixtures:
        document = fixture["tokenizer"]
        parts = {key: document.get(key) for key in ("normalizer", "pre_tokenizer", "post_processor", "decoder")}
        shape = json.dumps(parts, sort_keys=True)
        skipped = fixture["name"].startswith(("p-Removed", "p-Merged", "p-Contiguous", "p-Isolated-S", "p-punctuation", "p-regex", "n-bert1", "n-bert2"))
        if shape in seen or skipped or (len(shape) > 700 and fixture["name"] != "n-precompiled"):
            continue
        seen.add(shape)
        made = {"version": "1.0", "added_tokens": document.get("added_tokens", [])[:2], **parts, "model": models[number % 3]}
        yield f"{number:02}", json.dumps(made, ensure_ascii=False, separators=(",", ":")).encode()
        number += 1


def chat_template():
    folder = TESTS / "data/chat/templates"
    for name in ("chatml", "own_generation", "own_command", "own_gemma", "own_llama3_tools", "zephyr", "smollm2"):
        yield name, (folder / f"{name}.jinja").read_bytes()
    # Every construct once, those that render, a few in each file.
    snippets = json.loads((TESTS / "data/chat/snippets.json").read_text())["cases"]
    whole = [snippet["template"] for snippet in snippets if "text" in snippet and len(snippet["template"]) < 400]
    for i in range(0, len(whole), 8):
        yield f"snippets{i // 8}", "".join(whole[i:i + 8]).encode()
    yield "endless", b"{% macro f() %}{% for i in range(99999) %}{{ f() }}{% endfor %}{% endmacro %}{{ f() }}"
    yield "growing", b"{% set ns = namespace(s='aaaaaaaa') %}{% for i in range(99999) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}"
    yield "filters", (b"{{ [3,1,2] | sort | join(',') | upper }}{{ {'a': 1.5} | tojson(indent=2) }}{{ '%5.2f|%-4s' | format(1, 'a') }}"
                      b"{{ 'a,b'.split(',') | map('trim') | list }}{{ messages | selectattr('role', 'equalto', 'user') | list | length }}"
                      b"{{ 2 ** 62 // -3 % 7 }}{{ 'abc'[::-1] }}{{ messages[-9:1:2] | string }}{{ strftime_now('%d %b %Y') }}"
                      b"{{ range(3) | batch(2, 'x') | list }}{{ 'x' * 3 }}{{ 1 if x is defined else raise_exception('no') }}")


def records():
    return [{"prompt": "a", "response": "b"}, {"text": "caf\u00e9"}, {"prompt": "q", "chosen": "good", "rejected": "bad"},
            {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo", "tool_calls": [{"x": [1.5, None]}]}], "tools": [{"a": 1}]}]


def jsonl():
    yield "nested", b'{"text": "a"}\n{"messages": ' + NESTED + b"]" * 5000 + b"}\n"
    yield "forms", "\r\n".join(json.dumps(record) for record in records()).encode()
    yield "bad", b'\xef\xbb\xbf{"text": "a"}\n\n{"text": \n{"text": 1}\n[1]\n{"text": 1e999}\n{"messages": []}\n{"text": "\xff"}\n'


def json_array():
    yield "nested", b'[{"messages": ' + NESTED + b"]" * 5000 + b"}]"
    yield "forms", json.dumps(records()).encode()
    yield "lines", b'{"text": "a"}\n{"text": "b"}\n'
    yield "bad", b'[{"text": 1}, [1, [2]], "x", null, {"text": "a"}'


def csv():
    yield "quoted", b'prompt,response,other\r\n"a ""b""\n c",d,\r\n\n1,2,3\nx\n'
    yield "text", b"\xef\xbb\xbftext\na\n\"open"
    yield "columns", b"text" + b",a" * 1500 + b"\n" + b"x" + b",b" * 1500
    yield "preference", b"prompt,chosen,rejected\na,b,c\na,b,b\n"


def plain_text():
    yield "paragraphs", b"one\ntwo\n\n \t\r\nthree <|end|>\r\n"
    yield "bytes", b"\xff\xfe\x00a\n\n\xe2\x82"


def sweep_yaml():
    examples = TESTS.parent / "configs/examples"
    yield "example", b"\n".join(line.split(b"  #")[0].rstrip() for line in (examples / "gloss.yaml").read_bytes().splitlines()
                                if not line.startswith(b"#"))
    yield "full", b"""name: words
base: {preset: tiny, tokenizer: {train: {}}, pretrain: {data: texts.jsonl, train: {steps: 10}}}
data: {train: train.jsonl, eval: [{name: held_out, path: eval.jsonl, tags: [a]}], max_length: 64, on_overlong: drop}
trial:
  stages:
    - train: {method: {lora: {rank: 4}}, learning_rate: 1e-3, batch: {tokens: 64}, schedule: {wsd: {decay: 0.2}}}
    - evaluate: {metrics: [loss]}
axes:
  train.data_budget: {geometric: {from: 100, to: 25600, points: 9}}
  train.method: [{full: {}}, {lora: {rank: 8}}]
  seed: [1, 2]
laws: {metric: held_out.loss, x: data_budget, per: [method], forms: [power, rectified]}
mesh: {data: 2}
resources: {gangs: 1, ranks_per_gang: 2}
"""
    levels = ["&a0 [x, x, x, x, x, x, x, x]"] + ["&a%d [%s]" % (i, ", ".join(["*a%d" % (i - 1)] * 8)) for i in range(1, 12)]
    yield "aliases", ("name: words\naxes: {seed: [%s]}\n" % ", ".join(levels)).encode()
    yield "itself", b"name: words\naxes: {seed: &a [1, *a]}\n"


def slurm_answers():
    yield "jobs", b"12|RUNNING|sweep\n13_4|PENDING|a|b\n"
    yield "submitted", b"4711;cluster\n"
    yield "trouble", b"slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n"
    yield "nonsense", b"12|RUN\n|||\n"


def field(number, value):
    if isinstance(value, int):
        return bytes([number << 3, value])
    data = value if isinstance(value, bytes) else value.encode()
    return bytes([number << 3 | 2, len(data)]) + data


def gang_messages():
    def say(kind, message):
        return bytes([kind, len(message)]) + message

    def caller(gang, number):
        return field(1, field(2, 1) + field(3, gang) + field(4, number))
    hello = say(0, caller(1, 1) + field(2, 1) + field(3, "host"))
    ask = say(1, caller(1, 2))
    commit = say(3, caller(1, 3) + field(2, "a") + field(3, 1) + field(4, "/attempts/a-1"))
    yield "course", hello + ask + say(2, caller(1, 0) + field(2, "a") + field(3, 1)) + commit + say(1, caller(1, 4))
    yield "failure", hello + ask + say(4, caller(1, 3) + field(2, "a") + field(3, 1) + field(4, "io") + field(5, "why"))
    yield "stale", hello + ask + say(3, caller(2, 3) + field(2, "a") + field(3, 9)) + say(5, b"") + say(0xF5, b"") + commit
    yield "held", say(0, caller(2, 1) + field(6, "b") + field(7, 3)) + ask + ask


def store():
    import os
    import sqlite3
    import tempfile

    def database(*statements):
        path = os.path.join(tempfile.mkdtemp(), "s")
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA page_size = 512")
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()
        with open(path, "rb") as file:
            return file.read()
    meta = ("CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID", "INSERT INTO meta VALUES ('schema_version', '%d')")
    yield "version_1", database(meta[0], meta[1] % 1,
                                "CREATE TABLE stages (key TEXT PRIMARY KEY, label TEXT NOT NULL, spec TEXT NOT NULL, state INTEGER NOT NULL, "
                                "epoch INTEGER NOT NULL, gang INTEGER NOT NULL, attempts INTEGER NOT NULL, error_kind TEXT NOT NULL, "
                                "error TEXT NOT NULL, result BLOB NOT NULL)",
                                "INSERT INTO stages VALUES ('k', 'train', 'text', 2, 1, 0, 0, '', '', x'01')")
    def stages(*states):
        return ("CREATE TABLE forms (id INTEGER PRIMARY KEY, text TEXT NOT NULL)",
                "CREATE TABLE stages (id INTEGER PRIMARY KEY, key TEXT NOT NULL, label TEXT NOT NULL, form INTEGER NOT NULL, "
                "fillings TEXT NOT NULL)",
                "INSERT INTO forms VALUES (1, 'seed: ' || char(1))", "INSERT INTO stages VALUES (1, 'k', 'train', 1, '7' || char(10))",
                *states,
                "CREATE TABLE trials (id TEXT PRIMARY KEY, position INTEGER NOT NULL, text TEXT NOT NULL, stopped INTEGER NOT NULL)",
                "INSERT INTO trials VALUES ('t1', 0, '{\"id\": 3}', 0)")
    states = ("CREATE TABLE states (id INTEGER PRIMARY KEY, state INTEGER NOT NULL, epoch INTEGER NOT NULL, gang INTEGER NOT NULL, "
              "attempts INTEGER NOT NULL, error_kind TEXT NOT NULL, error TEXT NOT NULL")
    yield "version_2", database(meta[0], meta[1] % 2, *stages(states + ")", "INSERT INTO states VALUES (1, 2, 1, 0, 0, '', '')",
                                                              "CREATE TABLE results (id INTEGER PRIMARY KEY, result BLOB NOT NULL)",
                                                              "INSERT INTO results VALUES (1, x'01')"))
    yield "version_3", database(meta[0], meta[1] % 3, *stages(states + ", result BLOB NOT NULL)",
                                                              "INSERT INTO states VALUES (1, 2, 1, 0, 0, '', '', x'01')"))
    yield "newer", database(meta[0], meta[1] % 4)
    yield "empty", b""
    yield "garbage", b"SQLite format 3\0" + bytes(range(256)) * 4


def main(wanted):
    makers = [safetensors, safetensors_index, gguf, model_config, side_files, tokenizer_json, chat_template, jsonl, json_array, csv,
              plain_text, sweep_yaml, slurm_answers, gang_messages, store]
    for maker in makers:
        if wanted and maker.__name__ not in wanted:
            continue
        folder = HERE / "corpus" / maker.__name__
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in maker():
            (folder / name).write_bytes(data)


main(sys.argv[1:])
