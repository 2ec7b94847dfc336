#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Makes gguf_sentencepiece.gguf: a SentencePiece BPE with byte fallback, trained on a paragraph
# written for the purpose, as the keys that converters write; test.texts and test.ids.N are texts
# and the ids that the sentencepiece library gives them (pip install gguf sentencepiece).
import io
import sys

import sentencepiece
from gguf import GGUFWriter

PARAGRAPH = """
The harbour was quiet in the morning, and the fishermen mended their nets while the gulls waited
on the roofs. In the harbour of the town there were forty-two boats: some for fishing, some for
nothing at all. When the wind turned, the children ran to the wall and counted the sails, one,
two, three, until nobody could see the last of them. They were waiting for the ferry. The ferry
brought letters, oranges, bread and news; the news was always late, and nobody minded. What the
town had was time, and what it made of time was talk: talk of the weather, of the other town, of
the winter of 1963 when the harbour froze and the ferry stayed away for seven weeks.
"""
TEXTS = ["", "a", " a", "The harbour", "  two  spaces ", "forty-two boats: 1963", "line\nbreak\t!",
         "na\u00efve caf\u00e9 \u6771\u4eac \U0001f642", "the the the ferry ferries", "\u2581 odd", "xyzzy Q~",
         "nobody minded. What the town had was time, and what it made of time was talk"]


def main(path):
    model = io.BytesIO()
    lines = [line for line in PARAGRAPH.strip().split("\n")]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, vocab_size=420, model_type="bpe",
        byte_fallback=True, character_coverage=1.0, add_dummy_prefix=True, remove_extra_whitespaces=False,
        normalization_rule_name="identity", num_threads=1)
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    tokens, scores, types = [], [], []
    for i in range(processor.vocab_size()):
        tokens.append(processor.id_to_piece(i))
        scores.append(processor.get_score(i))
        types.append(2 if processor.is_unknown(i) else 3 if processor.is_control(i) else 6 if processor.is_byte(i) else 1)
    writer = GGUFWriter(path, "llama")
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_array("test.texts", TEXTS)
    for i, text in enumerate(TEXTS):
        writer.add_array(f"test.ids.{i}", processor.encode(text) or [-1])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "gguf_sentencepiece.gguf")
