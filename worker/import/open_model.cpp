// SPDX-License-Identifier: Apache-2.0
#include "worker/import/open_model.h"

#include <filesystem>
#include <utility>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/formats/safetensors.h"
#include "checkpoint/manifest.h"
#include "comm/group.h"
#include "configs/canonical.h"
#include "configs/model_directory.h"
#include "core/error.h"
#include "core/files.h"
#include "worker/import/gguf_model.h"
#include "worker/import/peft.h"
#include "worker/import/quantised_source.h"
#include "worker/methods/method.h"

namespace finescale {

namespace {

std::string parent(const std::string& path) {
  return std::filesystem::path(path).parent_path().string();
}

bool is_gguf_model(const config::ModelFiles& files) {
  return files.files_size() == 1 && is_gguf_name(files.files(0).path());
}

// What a checkpoint says of its making. The place of an artifact's inputs is beside it.
class Origin {
 public:
  explicit Origin(const std::string& checkpoint)
      : directory_(parent(checkpoint)),
        group_(make_single_group()),
        reader_(*group_, checkpoint),
        is_adapter_(!reader_.state().base_key.empty()) {
    if (!reader_.state().stage_text.empty()) {
      parse_canonical(reader_.state().stage_text, stage_);
    }
  }

  [[nodiscard]] bool is_adapter() const { return is_adapter_; }
  [[nodiscard]] const config::TrainSpec& train() const { return stage_.train(); }
  // Where the model lies that this one was trained from, or the first that it was made of; empty:
  // nowhere, it began fresh.
  [[nodiscard]] std::string started_from() const {
    const config::ModelSource& source =
        stage_.has_transform() ? stage_.transform().models(0) : train().model();
    switch (source.kind_case()) {
      case config::ModelSource::kArtifact:
        return parent(directory_) + "/" + source.artifact();
      case config::ModelSource::kCheckpoint:
        return parent(source.checkpoint().path());
      case config::ModelSource::kFiles:
        return is_gguf_model(source.files()) ? source.files().files(0).path()
                                             : parent(source.files().files(0).path());
      case config::ModelSource::kFresh:
      case config::ModelSource::KIND_NOT_SET:
        break;
    }
    return "";
  }

 private:
  std::string directory_;
  std::unique_ptr<Group> group_;
  CheckpointReader reader_;
  bool is_adapter_;
  config::StageSpec stage_;
};

OpenedModel open_files(const std::string& path, const std::string& adapter) {
  OpenedModel model;
  config::ModelSource source;
  config::TokenizerSource tokenizer;
  set_model_source(
      path, adapter, [](const std::string&) { return std::string(); }, source, tokenizer,
      model.rules);
  model.weights = open_model_files(source.files());
  model.tokenizer = tokenizer.file().path();
  model.files_directory = path;
  model.is_base_changed = !adapter.empty();
  return model;
}

// The directory whose config.json and the like belong to a model: where it began.
std::string files_directory_of(const std::string& place) {
  if (is_gguf_name(place)) {
    return path_exists(place) ? place : "";
  }
  if (!place.empty() && path_exists(place + "/config.json")) {
    return place;
  }
  const std::string checkpoint = place + "/checkpoint.h5";
  return !place.empty() && path_exists(checkpoint)
             ? files_directory_of(Origin(checkpoint).started_from())
             : "";
}

OpenedModel open_checkpoint(const std::string& directory) {
  const std::string checkpoint = directory + "/checkpoint.h5";
  const Origin origin(checkpoint);
  OpenedModel model;
  if (origin.is_adapter()) {
    const config::ModelSource& base = origin.train().model();
    if (base.has_files()) {
      model.weights = open_model_files(base.files());
      model.is_base_changed = base.files().adapter_size() > 0;
    } else {
      model = open_model(origin.started_from());
      if (model.adapter) {
        throw Error(ErrorKind::kConfig, "an adapter on top of an adapter is not in this version",
                    checkpoint);
      }
      model.is_base_changed = true;
    }
    model.adapter = read_own_adapter(checkpoint);
    if (const auto how = quantisation_of(origin.train().train().method())) {
      model.weights = quantised_source(std::move(model.weights), *how);
      model.is_base_changed = true;
    }
  } else {
    model.weights = make_checkpoint_source(checkpoint);
    model.is_base_changed = true;
  }
  model.files_directory = path_exists(directory + "/config.json")
                              ? directory
                              : files_directory_of(origin.started_from());
  model.checkpoint = checkpoint;
  model.tokenizer = directory + "/tokenizer.json";
  if (path_exists(directory + "/manifest.json")) {
    check_artifact_file(directory, "tokenizer.json");
  }
  model.rules = origin.train().rules();
  if (!origin.train().has_rules()) {
    set_model_end(directory, model.rules);
  }
  return model;
}

}  // namespace

config::ModelConfig model_config_of(const config::ModelFiles& files) {
  if (is_gguf_model(files)) {
    return model_config_from_gguf(*open_gguf(files.files(0).path()));
  }
  return read_model_config(files.files(0).path());
}

namespace {

std::unique_ptr<WeightSource> open_safetensors_files(const config::ModelFiles& files) {
  const config::ModelConfig config = model_config_of(files);
  std::vector<std::string> weights;
  for (const config::FileRef& file : files.files()) {
    if (file.path().ends_with(".safetensors")) {
      weights.push_back(file.path());
    }
  }
  const std::string place = weights.size() == 1 ? weights.front() : parent(files.files(0).path());
  return make_file_source(std::make_unique<SafetensorsFile>(place, weights), config, hf_tensor,
                          hf_ignored_suffixes(config));
}

}  // namespace

std::unique_ptr<WeightSource> open_model_files(const config::ModelFiles& files) {
  auto source = is_gguf_model(files) ? open_gguf_source(files.files(0).path())
                                     : open_safetensors_files(files);
  if (files.adapter_size() > 0) {
    Adapter adapter = read_peft(parent(files.adapter(0).path()), source->config());
    source = with_adapter(std::move(source), std::move(adapter));
  }
  return source;
}

OpenedModel open_model(const std::string& path, const std::string& base) {
  if (!path_exists(path)) {
    throw Error(ErrorKind::kConfig, "does not exist", path,
                "give a Hugging Face directory (a hub's model by where it was downloaded to), a "
                ".gguf file, a PEFT directory, what a stage left, or DIR:TRIAL");
  }
  const bool is_peft =
      path_exists(path + "/adapter_config.json") && !path_exists(path + "/config.json");
  OpenedModel model;
  if (is_peft) {
    (void)adapter_files(path);
    model = open_model(base.empty() ? peft_base(path) : base);
    if (model.adapter) {
      throw Error(ErrorKind::kConfig, "the base is an adapter itself", path);
    }
    model.adapter = read_peft(path, model.weights->config());
  } else if (find_model(path).kind == ModelKind::kCheckpoint) {
    model = open_checkpoint(path);
  } else {
    model = open_files(path, "");
  }
  model.config = model.weights->config();
  return model;
}

std::unique_ptr<WeightSource> merged_weights(OpenedModel& model) {
  if (!model.adapter) {
    return std::move(model.weights);
  }
  return with_adapter(std::move(model.weights), std::move(*model.adapter));
}

}  // namespace finescale
