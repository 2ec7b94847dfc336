// SPDX-License-Identifier: Apache-2.0
// Where a logical tensor lies in the files of its family: Hugging Face's safetensors and GGUF. Pure
// data; who reads files combines it with what they hold.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "configs/schema/model.pb.h"

namespace finescale {

// Row r of ours = row first_row + (r / block) * stride + r % block of the file's tensor, after it
// was transposed when `transposed` says so. The file's tensor may have more rows than ours: packed
// projections. Vectors have rows of one element.
struct FileTensor {
  std::string name;               // the spelling that is written
  std::vector<std::string> also;  // other spellings that are accepted
  bool transposed = false;        // the file holds [in, out]
  std::int64_t first_row = 0;
  std::int64_t block = 0;      // a plain tensor is one block of all its rows
  std::int64_t stride = 0;     // from block to block in the file
  std::int64_t file_rows = 0;  // of the file's whole tensor (after transposing)
  // Rows of q and k are permuted for interleaved rotation, in this many heads; 0: they are not.
  // Row (h, i, half) of the file is row (h, half, i) of ours, within each head. GGUF only.
  int rotary_heads = 0;
  double addend = 0;  // value of ours = value of the file + this (GGUF stores gemma's norms + 1)
};

// Throws kInternal for a name that the family's models do not have.
[[nodiscard]] FileTensor hf_tensor(const config::ModelConfig& config,
                                   const std::string& logical_name);
// Ends of names of tensors that files may hold beside the weights: buffers such as masks and
// rotary frequencies, and the second copy of a tied head.
[[nodiscard]] std::vector<std::string> hf_ignored_suffixes(const config::ModelConfig& config);

[[nodiscard]] FileTensor gguf_tensor(const config::ModelConfig& config,
                                     const std::string& logical_name);

}  // namespace finescale
