// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/data_fuzz.h"

#include "tests/fuzz/fuzz_target.h"
#include "tests/fuzz/scratch.h"
#include "worker/data/example_builder.h"
#include "worker/data/reader.h"

namespace finescale {

namespace {

config::DataRules make_rules(const ScratchDirectory& directory) {
  config::DataRules rules;
  rules.set_max_length(64);
  rules.set_on_overlong(config::ON_OVERLONG_TRUNCATE);
  rules.mutable_chat_template()->set_path(directory.write(
      "chat.jinja",
      "{% for m in messages %}<|sep|>{{ m.role }}\n{{ m.content }}{{ m.tool_calls | tojson }}"
      "<|end|>\n{% endfor %}{{ tools }}{% if add_generation_prompt %}<|sep|>assistant\n{% endif "
      "%}"));
  return rules;
}

}  // namespace

void read_data_file(const std::string& name, const std::uint8_t* data, std::size_t size) {
  static const ScratchDirectory directory;
  static const config::DataRules rules = make_rules(directory);
  static const Tokenizer tokenizer = Tokenizer::train({"abc abd"}, 262, {"<|end|>", "<|sep|>"});
  config::DatasetRef ref;
  ref.add_files()->set_path(directory.write(name, fuzz_text(data, size)));
  for (const config::OnBadExample on_bad :
       {config::ON_BAD_EXAMPLE_ERROR, config::ON_BAD_EXAMPLE_SKIP}) {
    for (const config::TextUnit unit : {config::TEXT_UNIT_PARAGRAPH, config::TEXT_UNIT_FILE}) {
      if (unit == config::TEXT_UNIT_FILE && !name.ends_with(".txt")) {
        continue;
      }
      ref.set_text_unit(unit);
      read_or_refuse([&] {
        ExampleBuilder builder(rules, tokenizer);
        DatasetCounts counts;
        (void)read_examples(ref, on_bad, [&](RawExample&& raw, const std::string& where) {
          (void)builder.build(raw, where, counts);
        });
      });
    }
  }
}

}  // namespace finescale
