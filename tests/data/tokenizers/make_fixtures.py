#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes fixtures.json: small tokenizers of every kind, and what the tokenizers library makes of hostile texts.

    python make_fixtures.py        (tokenizers 0.23)

A fixture is {name, tokenizer, cases: ids of each of `texts`, single and pair: ids with special tokens, pages, letters, decoded}.
`pages`: a digest of the ids for each run of code points of `starts` (see page_text); `letters`: of one letter a million times.
Where "model" is "probe", the model has one token for each byte and nothing else, so ids are the UTF-8 bytes of the pieces,
each piece followed by a zero byte: normalisers and pre-tokenizers can be compared for all of Unicode.
"""
import base64
import json
import os
import random
import struct

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

PLAIN = ["The quick brown fox jumps over the lazy dog. ", "Was it a car or a cat I saw? ", "def f(x):\n    return x * 2\n\n",
         "It's 12:45, we'll go; they've 1234567 of them!  Don't. ", "naïve café Straße Ångström ", "日本語のテキスト、中文。 ",
         "Привет, мир! Как дела? ", "the theme there then these those ", "    indented\n\tlines\r\n", "state-of-the-art x86_64 "]
TEXTS = PLAIN + [
    "", " ", "a", "  two  spaces   three\t\ttabs \n\n newlines \r\n\r\n crlf \r x", "I'M YOU'LL it'ſ 'S 'Re 'tis don't'll",
    "\u0301combining first e\u0301 a\u0308\u0323 o\u0328\u0304", "\u212b \u017f \ufb01 \u2126 \u1e9b\u0323 \u0130I\u0131i \u03a3\u03c2",
    "१२३ ٤٥٦ ½ ² Ⅷ 12345678 3.14", "👩‍👩‍👧‍👦 👍🏽 🇩🇪🇫🇷 ❤️ 1️⃣", "\u200b\u200d\ufeff\u00a0\u2003\u3000\u180e\u2028x\u2029y\u0085z",
    "안녕하세요 \u1112\u1161\u11ab \u1100\u1161", "עִבְרִית العَرَبِيَّة हिन्दी ไทย", "<s> <mask>x <unk>[CLS]</s>  <pad>  wordy word.word",
    "\x00\x01\x07\x1f\x7f\x80\x8f\x9f control", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈 𠀀 \U0010ffff \ufffd \ue000", "▁meta▁▁space ▁ x", "ＦＵＬＬ　ｗｉｄｔｈ ｶﾞ",
    "http://example.org/a?b=c&d=1#e (x) [y] {z} $5 + 6 < 7 ~ `q`", "x" * 130 + " y", "aaaaaaaaaa aaaa aa a", "<0x41> <0xE2><0x96>",
    "\u0378\u0870\u1c89\u2ebf0 \U00011240 \U0001e5f0 \U000105c0"]
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
O200K = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])
DEEPSEEK = ["\\p{N}{1,3}", "[一-龥\u3040-ゟ゠-ヿ]+",
            r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|"""
            r"\s*[\r\n]+|\s+(?!\S)|\s+"]


def page_text(first):
    """Every 5th character of a run of 256 code points, each between things that it may join with."""
    out = []
    for i, code in enumerate(range(first, first + 256, 5)):
        if not 0xD800 <= code < 0xE000:
            out.append(("a", " ", "1", ".", "é", "")[i % 6] + chr(code) + (chr(code) if i % 4 == 0 else ""))
    return "".join(out)


def digest(value, ids):
    for i in ids:  # FNV-1a over 32-bit ids
        value = ((value ^ i) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


STARTS = list(range(0, 0x10000, 0x1000)) + [0x10000, 0x11000, 0x12000, 0x14000, 0x16000, 0x18000, 0x1C000, 0x1E000, 0x20000, 0x30000,
                                            0x40000, 0xE0000, 0xF0000, 0x100000, 0x110000]


def pages(tokenizer):
    out = []
    for first, end in zip(STARTS, STARTS[1:]):
        value = 0xCBF29CE484222325
        for page in range(first, min(end, first + 0x4000), 256):
            value = digest(value, tokenizer.encode(page_text(page), add_special_tokens=False).ids)
        out.append(f"{value & 0xFFFFFFFF:08x}")
    return out


def darts(entries):
    """A double-array trie as Darts-clone lays it out: text -> offset."""
    trie = {}
    for text, value in entries.items():
        node = trie
        for byte in text.encode():
            node = node.setdefault(byte, {})
        node[-1] = value
    units, used = {0: 0}, {0}

    def place(node, at):
        labels = sorted(k for k in node if k >= 0)
        base = 1
        # An offset is XORed to the place, fits 21 bits here, and leaves room for the value at label 0.
        while any((base ^ label) in used for label in labels + [0]) or base == at:
            base += 1
        offset = base ^ at
        units[at] = units.get(at, 0) | (offset << 10) | ((1 << 8) if -1 in node else 0)
        used.add(base)
        if -1 in node:
            units[base] = (1 << 31) | node[-1]
        for label in labels:
            used.add(base ^ label)
            units[base ^ label] = label
        for label in labels:
            place(node[label], base ^ label)

    place(trie, 0)
    return [units.get(i, 0) for i in range(max(max(units), max(used)) + 256)]


def charsmap(rules):
    blob, offsets = b"", {}
    for text, image in rules.items():
        offsets[text] = len(blob)
        blob += image.encode() + b"\0"
    units = darts(offsets)
    trie = struct.pack(f"<{len(units)}I", *units)
    return base64.b64encode(struct.pack("<I", len(trie)) + trie + blob).decode()


CHARSMAP = charsmap({"\r\n": " ", "\n": " ", "\r": " ", "\t": " ", "\u00a0": " ", "\u3000": " ", "\u2003": " ", "\u200b": "",
                     "\ufeff": "", "ﬁ": "fi", "Ａ": "A", "Ｆ": "F", "½": "1⁄2", "e\u0301": "é", "\u212b": "å", "\x07": "",
                     "ｶﾞ": "ガ", "ｶ": "カ", "…": "..."})
PROBE = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": "\0",
         "fuse_unk": False, "byte_fallback": True, "ignore_merges": False,
         "vocab": {f"<0x{b:02X}>": b for b in range(256)}, "merges": []}


def probe(normalizer=None, pre_tokenizer=None, added=()):
    document = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": list(added), "normalizer": normalizer,
                "pre_tokenizer": pre_tokenizer, "post_processor": None, "decoder": None, "model": PROBE}
    return Tokenizer.from_str(json.dumps(document))


def train(tokenizer, kind, size, special=(), **options):
    if kind == "bpe":
        trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=list(special), show_progress=False, **options)
    elif kind == "unigram":
        trainer = trainers.UnigramTrainer(vocab_size=size, special_tokens=list(special), show_progress=False, **options)
    else:
        trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=list(special), show_progress=False, **options)
    tokenizer.train_from_iterator(PLAIN * 4, trainer)
    return tokenizer


BYTES = pre_tokenizers.ByteLevel.alphabet()


def byte_level(pre, normalizer=None, post=None, special=("<s>", "</s>", "<mask>"), size=420, **model):
    t = Tokenizer(models.BPE(**model))
    t.pre_tokenizer, t.decoder = pre, decoders.ByteLevel()
    if normalizer:
        t.normalizer = normalizer
    train(t, "bpe", size, special, initial_alphabet=BYTES)
    if post:
        t.post_processor = post(t)
    return t


def template(t):
    return processors.TemplateProcessing(single="<s> $A", pair="<s> $A </s> $B:1", special_tokens=[("<s>", 0), ("</s>", 1)])


def models_of_style():
    split = lambda regex: pre_tokenizers.Split(Regex(regex), "isolated")
    rest = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    yield "gpt2", byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False))
    yield "roberta", byte_level(pre_tokenizers.ByteLevel(add_prefix_space=True),
                                post=lambda t: processors.RobertaProcessing(("</s>", 1), ("<s>", 0)))
    t = byte_level(pre_tokenizers.Sequence([split(LLAMA3), rest]),
                   post=lambda t: processors.Sequence([processors.ByteLevel(trim_offsets=False), template(t)]))
    document = json.loads(t.to_str())
    document["model"]["ignore_merges"] = True
    document["model"]["vocab"]["ĠStraÃŁe"] = len(document["model"]["vocab"])  # no merges lead there
    yield "llama3", Tokenizer.from_str(json.dumps(document))
    yield "qwen2", byte_level(pre_tokenizers.Sequence([split(LLAMA3.replace("{1,3}", "")), rest]), normalizers.NFC())
    yield "smollm", byte_level(pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)]))
    yield "deepseek", byte_level(pre_tokenizers.Sequence([split(p) for p in DEEPSEEK] + [rest]))

    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    alphabet = [f"<0x{b:02X}>" for b in range(256)]
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    train(t, "bpe", 640, ["<unk>", "<s>", "</s>"] + alphabet)
    document = json.loads(t.to_str())
    document["pre_tokenizer"] = None
    document["added_tokens"] = document["added_tokens"][:3]
    document["post_processor"] = json.loads(template(t).__getstate__())
    yield "llama2", Tokenizer.from_str(json.dumps(document))

    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=False))
    t.pre_tokenizer, t.decoder = pre_tokenizers.Metaspace(prepend_scheme="first"), decoders.Metaspace(prepend_scheme="first")
    yield "metaspace-first", train(t, "bpe", 200, ["<unk>", "<s>"], limit_alphabet=50)
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, end_of_word_suffix="</w>"))
    t.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    t.pre_tokenizer, t.decoder = pre_tokenizers.Whitespace(), decoders.BPEDecoder("</w>")
    yield "clip", train(t, "bpe", 250, ["<unk>", "<s>"], end_of_word_suffix="</w>", limit_alphabet=60)

    t = Tokenizer(models.Unigram())
    t.normalizer = normalizers.Sequence([normalizers.Precompiled(base64.b64decode(CHARSMAP)), normalizers.Replace(Regex(" {2,}"), " ")])
    t.pre_tokenizer, t.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    train(t, "unigram", 200, ["<s>", "<pad>", "</s>", "<unk>"], unk_token="<unk>")
    t.post_processor = processors.TemplateProcessing(single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>",
                                                     special_tokens=[("<s>", 0), ("</s>", 2)])
    yield "xlm-roberta", t
    t = Tokenizer(models.Unigram())
    t.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(" ", "▁")])
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    train(t, "unigram", 150, ["<unk>"], unk_token="<unk>")
    document = json.loads(t.to_str())
    document["model"]["vocab"] += [[token, 0.0] for token in alphabet]
    document["model"]["byte_fallback"] = True
    yield "unigram-bytes", Tokenizer.from_str(json.dumps(document))

    for name, lower in (("bert", True), ("bert-cased", False)):
        t = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=100))
        t.normalizer, t.pre_tokenizer = normalizers.BertNormalizer(lowercase=lower), pre_tokenizers.BertPreTokenizer()
        t.decoder = decoders.WordPiece(cleanup=lower)
        train(t, "wordpiece", 220, ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
        t.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
        yield name, t


def added(content, index, **flags):
    base = dict(id=256 + index, content=content, single_word=False, lstrip=False, rstrip=False, normalized=False, special=False)
    return {**base, **flags}


def probes():
    plain = {"NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "ByteLevel"}
    for name in sorted(plain):
        yield "n-" + name, dict(normalizer={"type": name})
    for i, flags in enumerate([(1, 1, None, 1), (1, 0, True, 0), (0, 1, False, 1), (0, 0, None, 1)]):
        names = ("clean_text", "handle_chinese_chars", "strip_accents", "lowercase")
        yield f"n-bert{i}", dict(normalizer={"type": "BertNormalizer", **{n: f if f is None else bool(f) for n, f in zip(names, flags)}})
    yield "n-strip", dict(normalizer={"type": "Strip", "strip_left": True, "strip_right": True})
    yield "n-left", dict(normalizer={"type": "Strip", "strip_left": True, "strip_right": False})
    yield "n-precompiled", dict(normalizer={"type": "Precompiled", "precompiled_charsmap": CHARSMAP})
    yield "n-replace", dict(normalizer={"type": "Sequence", "normalizers": [
        {"type": "Replace", "pattern": {"Regex": r"\h+|\b\w|$"}, "content": "<>"},
        {"type": "Replace", "pattern": {"String": "aa"}, "content": "b"}, {"type": "Prepend", "prepend": "^"}]})
    for behavior in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"):
        for kind, pattern in (("String", " "), ("Regex", r"\d|[aeiou]{1,2}+|\s")):
            for invert in (False, True):
                yield f"p-{behavior}-{kind}{'-inverted' * invert}", dict(pre_tokenizer={
                    "type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert})
        yield f"p-punctuation-{behavior}", dict(pre_tokenizer={"type": "Punctuation", "behavior": behavior})
    for name in ("Whitespace", "WhitespaceSplit", "BertPreTokenizer"):
        yield "p-" + name, dict(pre_tokenizer={"type": name})
    for individual in (False, True):
        yield f"p-digits-{individual}", dict(pre_tokenizer={"type": "Digits", "individual_digits": individual})
    yield "p-delimiter", dict(pre_tokenizer={"type": "CharDelimiterSplit", "delimiter": "e"})
    yield "p-fixed", dict(pre_tokenizer={"type": "FixedLength", "length": 3})
    for i, regex in enumerate([GPT2, LLAMA3, O200K, r"\w+|\W", r"[[:alpha:]&&[^a-f]]+|\bx*", r"(?m).{3}|\p{Han}+|\p{^P}",
                               r"[^\W\d_]+(?=\s|$)|[\u00e0-\u00ff]", r"(?i)th(?:e|is)|^ |\p{N}{2}?|[\p{Greek}[a-c]]{,2}"]):
        yield f"p-regex{i}", dict(pre_tokenizer={"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False})
    for scheme in ("always", "first", "never"):
        for split in (False, True):
            yield f"p-metaspace-{scheme}-{split}", dict(
                pre_tokenizer={"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split},
                added=[added("<s>", 0, special=True)])
    yield "p-bytes-first", dict(pre_tokenizer={"type": "Sequence", "pretokenizers": [
        {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}, {"type": "FixedLength", "length": 2}]})
    yield "p-sequence", dict(normalizer={"type": "Strip", "strip_left": True, "strip_right": False}, pre_tokenizer={
        "type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, {"type": "Metaspace", "replacement": "_", "prepend_scheme": "first",
                                                                           "split": True}, {"type": "Punctuation", "behavior": "Isolated"}]})
    for i, (flags, normalizer) in enumerate([
            (dict(special=True), None), (dict(lstrip=True), None), (dict(rstrip=True), None), (dict(lstrip=True, rstrip=True), None),
            (dict(single_word=True), None), (dict(normalized=True), {"type": "Lowercase"}), (dict(normalized=True, rstrip=True), None),
            (dict(normalized=True, single_word=True, special=True), {"type": "Prepend", "prepend": "x"})]):
        words = ["<mask>", "<s>", "word", "WORDY", " quick", "aaa", "aa", "é", "▁"]
        yield f"a-added{i}", dict(normalizer=normalizer, added=[added(w, k, **flags) for k, w in enumerate(words)])


def fixture(name, tokenizer, seed):
    document = json.loads(tokenizer.to_str())
    out = {"name": name, "tokenizer": document, "cases": [], "pages": pages(tokenizer)}
    if document["model"]["vocab"] == PROBE["vocab"]:
        document["model"] = "probe"
        texts = []
    else:
        texts = TEXTS
        value = digest(0xCBF29CE484222325, tokenizer.encode("a" * 1000000, add_special_tokens=False).ids)
        out["letters"] = f"{value & 0xFFFFFFFF:08x}"
    for text in texts:
        out["cases"].append(tokenizer.encode(text, add_special_tokens=False).ids)
    if document["model"] == "probe":  # the texts too, as one digest
        value = 0xCBF29CE484222325
        for text in TEXTS:
            value = digest(value, tokenizer.encode(text, add_special_tokens=False).ids)
        out["texts_digest"] = f"{value & 0xFFFFFFFF:08x}"
    else:
        out["single"] = tokenizer.encode(TEXTS[0]).ids
        out["pair"] = tokenizer.encode(TEXTS[0], TEXTS[1]).ids
        random.seed(seed)
        size = tokenizer.get_vocab_size()
        out["decoded"] = []
        for length in (1, 2, 3, 8, 8, 20, 20):
            ids = [random.randrange(size + 2) for _ in range(length)]
            out["decoded"].append([ids, tokenizer.decode(ids), tokenizer.decode(ids, skip_special_tokens=False)])
        ids = tokenizer.encode("".join(PLAIN)[:120]).ids
        out["decoded"].append([ids, tokenizer.decode(ids), tokenizer.decode(ids, skip_special_tokens=False)])
    return out


def main():
    random.seed(1)
    fixtures = [fixture(name, t, i) for i, (name, t) in enumerate(models_of_style())]
    fixtures += [fixture(name, probe(**parts), 0) for name, parts in probes()]
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures.json")
    with open(path, "w") as out:
        json.dump({"texts": TEXTS, "starts": STARTS, "fixtures": fixtures}, out, ensure_ascii=False, separators=(",", ":"))
        out.write("\n")


if __name__ == "__main__":
    main()
