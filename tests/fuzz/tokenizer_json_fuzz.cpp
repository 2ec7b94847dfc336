// SPDX-License-Identifier: Apache-2.0
// tokenizer.json: parsed, then texts there and back.
#include "tests/fuzz/fuzz_target.h"
#include "worker/data/tokenizer.h"

using namespace finescale;  // NOLINT(google-build-using-namespace): a few functions

namespace {

void use(const Tokenizer& tokenizer) {
  // Contractions, joiners, a combining mark, CRLF, blocks of one letter, and bytes that are no
  // UTF-8.
  for (const char* text :
       {"It's <s> 12 caf\xC3\xA9 e\xCC\x81\xE2\x96\x81 "
        "\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x92\xBB  x",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "\xFF\xC3 a\r\n\t", ""}) {
    const std::vector<std::int32_t> ids = tokenizer.add_special(tokenizer.encode(text));
    (void)tokenizer.decode(ids);
    (void)tokenizer.encode_ordinary(text);
    TextStream stream(tokenizer);
    for (const std::int32_t id : ids) {
      (void)stream.push(id);
    }
    (void)stream.finish();
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  read_or_refuse([&] {
    const Tokenizer tokenizer = Tokenizer::from_json(fuzz_text(data, size), "tokenizer.json");
    use_or_refuse([&] { use(tokenizer); });
  });
  return 0;
}
