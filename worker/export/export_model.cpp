// SPDX-License-Identifier: Apache-2.0
#include "worker/export/export_model.h"

#include <cstdio>
#include <filesystem>
#include <memory>
#include <utility>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "configs/canonical.h"
#include "configs/model_directory.h"
#include "core/error.h"
#include "core/files.h"
#include "worker/base_model.h"
#include "worker/export/gguf_model_file.h"
#include "worker/export/hf_files.h"
#include "worker/export/new_directory.h"
#include "worker/import/peft.h"
#include "worker/single_engine.h"

namespace finescale {

namespace {

// Weights of one rank as a checkpoint without a stage: a base for sweeps.
void write_weights(WeightSource& weights, const std::string& path) {
  const SingleEngine single;
  BaseModel model = make_base_model(single.engine(), weights.config(), DType::kF32);
  read_base(weights, model);
  std::vector<CheckpointTensor> tensors;
  for (const auto& piece : model.pieces) {
    for (CheckpointTensor& tensor : kept_tensors("/model", piece->weights, piece->store)) {
      tensor.writes = true;
      tensors.push_back(std::move(tensor));
    }
  }
  CheckpointState state;
  state.model_text = canonical_text(model.config);
  write_checkpoint(single.group(), path, state, tensors);
}

void export_checkpoint(OpenedModel& model, bool merge, const std::string& directory) {
  const std::string path = directory + "/checkpoint.h5";
  if (model.adapter && !merge) {
    if (model.checkpoint.empty()) {
      throw Error(ErrorKind::kConfig, "a PEFT adapter alone is no checkpoint", {},
                  "give --merge for the adapter in its base");
    }
    std::filesystem::copy_file(model.checkpoint, path);
  } else {
    write_weights(*merged_weights(model), path);
  }
  const SingleEngine single;
  CheckpointReader(single.group(), path).verify();
}

void export_peft(OpenedModel& model, const std::string& directory) {
  if (!model.adapter) {
    throw Error(ErrorKind::kConfig, "the model has whole weights, no adapter", {},
                "give --format hf");
  }
  const bool is_readable = !model.is_base_changed && !is_gguf_name(model.files_directory);
  const std::string base = is_readable ? model.files_directory : "";
  if (base.empty()) {
    std::fprintf(stderr,
                 "note: the adapter's base is no directory that other programs read; export it too "
                 "(--format hf) and set base_model_name_or_path\n");
  }
  write_peft(*model.adapter, model.config, base, directory);
  const Adapter again = read_peft(directory, model.config);
  if (again.modules.size() != model.adapter->modules.size() ||
      again.apart.empty() != model.adapter->apart.empty()) {
    throw Error(ErrorKind::kIo, "what was read back is not what was written", directory,
                "check the disk");
  }
}

void export_hf(OpenedModel& model, const ExportOptions& options, const std::string& directory) {
  write_hf_files(model, options.type, directory);
  const std::unique_ptr<WeightSource> weights = merged_weights(model);
  write_safetensors_model(directory, hf_tensors(*weights), options.type, options.max_file_bytes);
}

// Values of logical tensors in the order of the file: matrices go by as they are asked for.
void export_gguf(OpenedModel& model, const ExportOptions& options) {
  GgufExport out = describe_gguf(model);
  const std::unique_ptr<WeightSource> weights = merged_weights(model);
  write_gguf_model(options.target, out, options.gguf_type, *weights);
}

}  // namespace

void export_model(OpenedModel& model, const ExportOptions& options) {
  const bool needs_whole =
      options.format == ExportFormat::kHuggingFace || options.format == ExportFormat::kGguf;
  if (needs_whole && model.adapter && !options.merge) {
    throw Error(ErrorKind::kConfig, "the model is an adapter, this format holds whole weights", {},
                "give --merge for the adapter in its base, or --format peft for the adapter");
  }
  if (options.format == ExportFormat::kGguf) {
    refuse_existing(options.target);
    return export_gguf(model, options);
  }
  NewDirectory target(options.target);
  switch (options.format) {
    case ExportFormat::kHuggingFace:
      export_hf(model, options, target.path());
      break;
    case ExportFormat::kPeft:
      export_peft(model, target.path());
      break;
    case ExportFormat::kCheckpoint:
      copy_side_files(model, target.path());
      export_checkpoint(model, options.merge, target.path());
      break;
    case ExportFormat::kGguf:
      break;
  }
  target.commit();
}

}  // namespace finescale
