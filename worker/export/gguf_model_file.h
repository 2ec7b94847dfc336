// SPDX-License-Identifier: Apache-2.0
// A model of finescale as one GGUF file that llama.cpp and its kin load.
#pragma once

#include <string>

#include "checkpoint/formats/gguf_types.h"
#include "configs/schema/model.pb.h"
#include "worker/data/gguf_tokenizer.h"
#include "worker/import/open_model.h"

namespace finescale {

struct GgufExport {
  config::ModelConfig config{};
  std::string name{};             // general.name
  std::string tokenizer_json{};   // text of a tokenizer.json; empty: the file gets no tokenizer
  std::string tokenizer_where{};  // for messages
  std::string chat_template{};    // empty: none
  GgufSpecialTokens special{};
};

// Tokenizer, chat template and special tokens of an opened model, from wherever it has them.
[[nodiscard]] GgufExport describe_gguf(const OpenedModel& model);
// Matrices as `type` (rows that are not whole blocks of it as F16), vectors as F32. The file is
// whole under its name or absent, and was read again.
void write_gguf_model(const std::string& path, const GgufExport& model, GgufType type,
                      WeightSource& weights);

}  // namespace finescale
