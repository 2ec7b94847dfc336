// SPDX-License-Identifier: Apache-2.0
#include "worker/data/tokenizer_file.h"

#include "checkpoint/formats/gguf_header.h"
#include "core/files.h"
#include "core/mapped_file.h"
#include "worker/data/gguf_side_files.h"
#include "worker/data/gguf_tokenizer.h"

namespace finescale {

namespace {

bool is_gguf_name(const std::string& path) {
  return path.ends_with(".gguf");
}

}  // namespace

std::string read_tokenizer_text(const std::string& path) {
  if (!is_gguf_name(path)) {
    return read_file(path);
  }
  const MappedFile file(path);
  return tokenizer_json_from_gguf(parse_gguf(file.bytes(), path).metadata);
}

std::string read_tokenizer_settings(const std::string& path) {
  if (!is_gguf_name(path)) {
    return read_file(path);
  }
  const MappedFile file(path);
  using Handler = nlohmann::json::error_handler_t;
  return gguf_tokenizer_config(parse_gguf(file.bytes(), path).metadata)
      .dump(-1, ' ', false, Handler::replace);
}

}  // namespace finescale
