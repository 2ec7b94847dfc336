// SPDX-License-Identifier: Apache-2.0
#include "worker/data/tokenizer_file.h"

#include "checkpoint/formats/gguf_header.h"
#include "checkpoint/formats/mapped_file.h"
#include "core/files.h"
#include "worker/data/gguf_tokenizer.h"

namespace finescale {

std::string read_tokenizer_text(const std::string& path) {
  if (!path.ends_with(".gguf")) {
    return read_file(path);
  }
  const MappedFile file(path);
  return tokenizer_json_from_gguf(parse_gguf(file.bytes(), path).metadata);
}

}  // namespace finescale
