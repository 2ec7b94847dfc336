// SPDX-License-Identifier: Apache-2.0
#include "worker/import/tokenizer_file.h"

#include "configs/model_directory.h"
#include "core/error.h"
#include "core/files.h"

namespace finescale {

std::string read_tokenizer_json(const std::string& path) {
  if (is_gguf_name(path)) {
    throw Error(ErrorKind::kConfig, "GGUF files are not read in this version", path,
                "give the model's Hugging Face directory");
  }
  return read_file(path);
}

Tokenizer load_tokenizer(const std::string& path) {
  return Tokenizer::from_json(read_tokenizer_json(path), path);
}

config::DataRules complete_rules(const config::DataRules& rules,
                                 const std::string& /*tokenizer_path*/) {
  return rules;
}

}  // namespace finescale
