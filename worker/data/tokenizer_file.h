// SPDX-License-Identifier: Apache-2.0
// Where tokenizers and their settings lie: in files of their own, or among the keys of a .gguf
// file.
#pragma once

#include <string>

namespace finescale {

// The text of a tokenizer.json; of a .gguf file, its tokenizer in that form. Throws kData or kIo.
[[nodiscard]] std::string read_tokenizer_text(const std::string& path);
// The text of a tokenizer_config.json; of a .gguf file, what would stand there.
[[nodiscard]] std::string read_tokenizer_settings(const std::string& path);

}  // namespace finescale
