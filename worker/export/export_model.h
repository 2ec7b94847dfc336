// SPDX-License-Identifier: Apache-2.0
// A model in the layouts of other programs, or as a checkpoint of ours. What is written has been
// read again before it is put in its place.
#pragma once

#include <cstdint>
#include <string>

#include "checkpoint/formats/gguf_types.h"
#include "checkpoint/formats/safetensors_writer.h"
#include "worker/import/open_model.h"

namespace finescale {

enum class ExportFormat { kHuggingFace, kPeft, kGguf, kCheckpoint };

struct ExportOptions {
  ExportFormat format = ExportFormat::kHuggingFace;
  bool merge = false;  // an adapter into its base
  StoredType type = StoredType::kF32;
  std::uint64_t max_file_bytes = std::uint64_t{5} << 30;  // above it weights are cut into shards
  std::string target;
  GgufType gguf_type = GgufType::kF16;
};

// Throws kConfig when the target exists, or the model cannot be said in that layout. Empties
// `model`.
void export_model(OpenedModel& model, const ExportOptions& options);

}  // namespace finescale
