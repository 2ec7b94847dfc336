// SPDX-License-Identifier: Apache-2.0
#include "configs/presets.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "configs/nearest_name.h"
#include "configs/parse.h"
#include "configs/stage_links.h"
#include "core/error.h"
#include "core/files.h"

namespace finescale {

namespace {

bool is_file_name(const std::string& preset) {
  return preset.find('/') != std::string::npos || preset.ends_with(".yaml");
}

void make_absolute(std::string* path, const std::string& directory) {
  if (!path->empty() && !std::filesystem::path(*path).is_absolute()) {
    *path = (std::filesystem::path(directory) / *path).lexically_normal().string();
  }
}

template <class Paths>
void make_all_absolute(Paths* paths, const std::string& directory) {
  for (std::string& path : *paths) {
    make_absolute(&path, directory);
  }
}

void make_teacher_absolute(config::Train& train, const std::string& directory) {
  if (is_model_path(train.objective().distill().teacher())) {
    make_absolute(train.mutable_objective()->mutable_distill()->mutable_teacher(), directory);
  }
}

template <class Stages>
void resolve_stages(Stages& stages, const std::string& directory) {
  for (config::Stage& stage : stages) {
    if (stage.has_rounds()) {
      resolve_stages(*stage.mutable_rounds()->mutable_stages(), directory);
    } else if (stage.has_train()) {
      make_teacher_absolute(*stage.mutable_train(), directory);
    }
  }
}

}  // namespace

std::vector<std::string> preset_names() {
  std::vector<std::string> names;
  std::error_code code;
  for (const auto& entry :
       std::filesystem::directory_iterator(share_directory() + "/presets", code)) {
    if (entry.path().extension() == ".yaml") {
      names.push_back(entry.path().stem().string());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

void resolve_preset(config::Base& base, const std::string& where) {
  if (!base.has_preset()) {
    return;
  }
  const std::string path = is_file_name(base.preset())
                               ? base.preset()
                               : share_directory() + "/presets/" + base.preset() + ".yaml";
  if (!path_is_file(path)) {
    const std::vector<std::string> names = preset_names();
    throw Error(ErrorKind::kConfig,
                "no preset " + base.preset() + did_you_mean(base.preset(), names), where,
                names.empty() ? "no presets in " + share_directory() + ": set FINESCALE_SHARE"
                              : "presets: " + joined(names));
  }
  config::ModelConfig preset;
  parse_yaml(read_file(path), path, preset);
  preset.MergeFrom(base.architecture());  // what the sweep writes out wins
  *base.mutable_architecture() = preset;
}

void resolve_paths(config::Sweep& sweep, const std::string& directory) {
  config::Base& base = *sweep.mutable_base();
  config::Data& data = *sweep.mutable_data();
  resolve_stages(*sweep.mutable_trial()->mutable_stages(), directory);
  if (base.has_model()) {
    make_absolute(base.mutable_model(), directory);
  }
  if (base.has_adapter()) {
    make_absolute(base.mutable_adapter(), directory);
  }
  if (base.has_preset() && is_file_name(base.preset())) {
    make_absolute(base.mutable_preset(), directory);
  }
  if (base.tokenizer().has_path()) {
    make_absolute(base.mutable_tokenizer()->mutable_path(), directory);
  }
  if (base.has_pretrain()) {
    make_all_absolute(base.mutable_pretrain()->mutable_data()->mutable_path(), directory);
    make_teacher_absolute(*base.mutable_pretrain()->mutable_train(), directory);
  }
  if (data.has_train()) {
    make_all_absolute(data.mutable_train()->mutable_path(), directory);
  }
  for (config::NamedDataset& set : *data.mutable_sets()) {
    make_all_absolute(set.mutable_dataset()->mutable_path(), directory);
  }
  for (config::EvalSet& set : *data.mutable_eval()) {
    make_all_absolute(set.mutable_path(), directory);
  }
  if (data.has_chat_template()) {
    make_absolute(data.mutable_chat_template(), directory);
  }
}

std::string share_directory() {
  if (const char* given = std::getenv("FINESCALE_SHARE"); given != nullptr && *given != '\0') {
    return given;
  }
  std::error_code code;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", code);
  if (!code) {
    const std::filesystem::path installed =
        program.parent_path().parent_path() / "share" / "finescale";
    if (path_exists(installed / "presets")) {
      return installed.string();
    }
    for (std::filesystem::path at = program.parent_path(); at.has_relative_path();
         at = at.parent_path()) {
      if (path_exists(at / "configs" / "presets")) {
        return (at / "configs").string();
      }
    }
  }
  return std::string(FINESCALE_SOURCE_DIR) + "/configs";
}

}  // namespace finescale
