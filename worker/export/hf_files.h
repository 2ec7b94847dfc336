// SPDX-License-Identifier: Apache-2.0
// The files of a Hugging Face directory: weights under the family's names, and what lies beside
// them.
#pragma once

#include <string>
#include <vector>

#include "checkpoint/formats/safetensors_writer.h"
#include "worker/import/open_model.h"

namespace finescale {

// Every tensor that the family's files hold: packed projections are put together again, tied
// weights come once. `source` must outlive them.
[[nodiscard]] std::vector<TensorToWrite> hf_tensors(WeightSource& source);

// config.json, tokenizer.json and, where the model came with them, the other files.
void write_hf_files(const OpenedModel& model, StoredType type, const std::string& directory);
// The same as they are, config.json included when the model came with one.
void copy_side_files(const OpenedModel& model, const std::string& directory);

}  // namespace finescale
