// SPDX-License-Identifier: Apache-2.0
#include "configs/gguf_summary.h"

#include "checkpoint/formats/gguf_header.h"
#include "core/error.h"
#include "core/mapped_file.h"

namespace finescale {

GgufSummary read_gguf_summary(const std::string& path) {
  constexpr const char* kEnd = "tokenizer.ggml.eos_token_id";
  const MappedFile file(path);
  const GgufHeader header = parse_gguf(file.bytes(), path);
  GgufSummary summary;
  const auto architecture = header.metadata.text("general.architecture");
  if (!architecture) {
    throw Error(ErrorKind::kData, "gguf: the key general.architecture is missing", path);
  }
  const std::string context = std::string(*architecture) + ".context_length";
  const std::optional<std::int64_t> positions = header.metadata.integer(context);
  if (!positions) {
    throw Error(ErrorKind::kData, "gguf: the key " + context + " is missing", path);
  }
  summary.positions = *positions;
  const std::vector<std::string_view> tokens = header.metadata.texts("tokenizer.ggml.tokens");
  if (const auto id = header.metadata.integer(kEnd)) {
    if (*id < 0 || *id >= static_cast<std::int64_t>(tokens.size())) {
      throw Error(ErrorKind::kData,
                  "gguf: token " + std::to_string(*id) + " does not exist: there are " +
                      std::to_string(tokens.size()),
                  header.metadata.place(kEnd));
    }
    summary.end = tokens[static_cast<std::size_t>(*id)];
  }
  summary.has_chat_template = header.metadata.has("tokenizer.chat_template");
  return summary;
}

}  // namespace finescale
