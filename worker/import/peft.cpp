// SPDX-License-Identifier: Apache-2.0
#include "worker/import/peft.h"

#include <cmath>
#include <filesystem>
#include <memory>
#include <set>
#include <utility>

#include "checkpoint/formats/safetensors.h"
#include "configs/decoder.h"
#include "core/error.h"
#include "core/files.h"
#include "worker/import/peft_config.h"

namespace finescale {

namespace {

const std::string kRoot = "base_model.model.";

std::string module_of(const std::string& tensor) {
  return tensor.substr(0, tensor.size() - std::string_view(".weight").size());
}

class AdapterReader {
 public:
  AdapterReader(const std::string& directory, const config::ModelConfig& model)
      : config_(read_peft_config(directory + "/adapter_config.json")),
        file_(open_safetensors(directory + "/adapter_model.safetensors")),
        model_(model) {}

  Adapter read() {
    Adapter adapter;
    for (const LogicalShape& tensor : logical_tensors(decoder_shape(model_))) {
      if (tensor.columns == 0 || !tensor.name.ends_with(".weight")) {
        continue;
      }
      FileTensor place = hf_tensor(model_, tensor.name);
      place.also.insert(place.also.begin(), place.name);
      for (const std::string& name : place.also) {
        ModuleChange change = change_of(module_of(name), tensor, place);
        if (is_any(change)) {
          adapter.modules.emplace(module_of(tensor.name), std::move(change));
          break;
        }
      }
    }
    adapter.vera_a = vera_a_;
    adapter.vera_b = vera_b_;
    for (const FileTensorInfo& info : file_->tensors()) {
      if (!used_.contains(&info)) {
        throw Error(
            ErrorKind::kData, "tensor " + info.name + " changes no matrix that can be changed here",
            file_->path(), "adapters of linear layers are supported; merge others with PEFT");
      }
    }
    if (adapter.modules.empty()) {
      throw Error(ErrorKind::kData, "the adapter holds no tensor", file_->path());
    }
    return adapter;
  }

 private:
  static bool is_any(const ModuleChange& change) {
    return change.rank > 0 || !change.outputs.empty() || !change.inputs.empty();
  }

  [[noreturn]] void wrong_shape(const FileTensorInfo& info, const std::string& wanted) const {
    throw Error(ErrorKind::kData,
                "tensor " + info.name + " is " + info.shape.text() + ", must be " + wanted,
                file_->path(), "does the adapter belong to this model?");
  }

  // All values of a tensor of the module, empty when there is none.
  std::vector<double> values(const std::string& name, const FileTensorInfo** found) {
    const FileTensorInfo* info = file_->find(kRoot + name);
    *found = info;
    if (info == nullptr) {
      return {};
    }
    used_.insert(info);
    const std::int64_t count = info->shape.num_elements();
    std::vector<double> all(static_cast<std::size_t>(count));
    file_->read(*info, 0, count, {all.data(), DType::kF64, Shape{count}});
    return all;
  }

  // Of the rows of the file's module those that are ours: projections may be packed.
  static std::vector<double> our_rows(const std::vector<double>& all, std::int64_t width,
                                      const LogicalShape& tensor, const FileTensor& place) {
    std::vector<double> ours;
    ours.reserve(static_cast<std::size_t>(tensor.rows * width));
    for (std::int64_t row = 0; row < tensor.rows; ++row) {
      const std::int64_t at =
          (place.first_row + row / place.block * place.stride + row % place.block) * width;
      ours.insert(ours.end(), all.begin() + at, all.begin() + at + width);
    }
    return ours;
  }

  ModuleChange change_of(const std::string& module, const LogicalShape& tensor,
                         const FileTensor& place) {
    ModuleChange change;
    const FileTensorInfo* info = nullptr;
    if (config_.is_ia3) {
      std::vector<double> factors = values(module + ".ia3_l", &info);
      if (info == nullptr) {
        return change;
      }
      if (info->shape == Shape{place.file_rows, 1}) {
        change.outputs = our_rows(factors, 1, tensor, place);
      } else if (info->shape == Shape{1, tensor.columns}) {
        change.inputs = std::move(factors);
      } else {
        wrong_shape(*info,
                    Shape{place.file_rows, 1}.text() + " or " + Shape{1, tensor.columns}.text());
      }
      return change;
    }
    if (config_.is_vera) {
      return vera_change(module, tensor, place);
    }
    change.a = values(module + ".lora_A.weight", &info);
    if (info == nullptr) {
      return change;
    }
    const auto [rank, scale] = config_.of_module(module);
    if (!(info->shape == Shape{rank, tensor.columns})) {
      wrong_shape(*info, Shape{rank, tensor.columns}.text());
    }
    std::vector<double> b = values(module + ".lora_B.weight", &info);
    if (info == nullptr) {
      throw Error(ErrorKind::kData, "tensor " + kRoot + module + ".lora_B.weight is missing",
                  file_->path());
    }
    if (!(info->shape == Shape{place.file_rows, rank})) {
      wrong_shape(*info, Shape{place.file_rows, rank}.text());
    }
    change.rank = rank;
    change.scale = scale;
    change.b = our_rows(b, rank, tensor, place);
    if (config_.is_dora) {
      change.magnitude = magnitude(module, tensor, place);
    }
    return change;
  }

  // A matrix that both lie in the file for all modules.
  const std::vector<double>& random_matrix(const char* name, std::vector<double>& held) {
    if (held.empty()) {
      const FileTensorInfo* info = file_->find(std::string("base_model.") + name);
      const int dim = std::string_view(name) == "vera_A" ? 0 : 1;
      if (info == nullptr || info->shape.rank != 2 || info->shape[dim] != config_.rank) {
        throw Error(ErrorKind::kData,
                    std::string("tensor base_model.") + name + " is missing, or not of rank " +
                        std::to_string(config_.rank),
                    file_->path());
      }
      used_.insert(info);
      const std::int64_t count = info->shape.num_elements();
      held.resize(static_cast<std::size_t>(count));
      file_->read(*info, 0, count, {held.data(), DType::kF64, Shape{count}});
    }
    return held;
  }

  ModuleChange vera_change(const std::string& module, const LogicalShape& tensor,
                           const FileTensor& place) {
    ModuleChange change;
    const FileTensorInfo* info = nullptr;
    const std::vector<double> outer = values(module + ".vera_lambda_b", &info);
    if (info == nullptr) {
      return change;
    }
    if (info->shape.num_elements() != place.file_rows) {
      wrong_shape(*info, Shape{place.file_rows}.text());
    }
    const std::vector<double> inner = values(module + ".vera_lambda_d", &info);
    if (info == nullptr || std::ssize(inner) != config_.rank) {
      throw Error(ErrorKind::kData,
                  "tensor " + kRoot + module + ".vera_lambda_d is missing, or not of rank " +
                      std::to_string(config_.rank),
                  file_->path());
    }
    const std::vector<double>& a = random_matrix("vera_A", vera_a_);
    const std::vector<double>& b = random_matrix("vera_B", vera_b_);
    const std::int64_t rank = config_.rank;
    const std::int64_t widest = std::ssize(a) / rank;
    if (widest < tensor.columns || std::ssize(b) / rank < place.file_rows) {
      throw Error(ErrorKind::kData, "vera_A or vera_B is too small for " + module, file_->path(),
                  "does the adapter belong to this model?");
    }
    change.rank = config_.rank;
    change.outer = our_rows(outer, 1, tensor, place);
    change.inner = inner;
    for (std::int64_t k = 0; k < rank; ++k) {
      change.a.insert(change.a.end(), a.begin() + k * widest,
                      a.begin() + k * widest + tensor.columns);
    }
    std::vector<double> whole(b.begin(), b.begin() + place.file_rows * rank);
    for (std::size_t i = 0; i < whole.size(); ++i) {
      const auto r = static_cast<std::size_t>(rank);
      whole[i] *= outer[i / r] * inner[i % r];
    }
    change.b = our_rows(whole, rank, tensor, place);
    return change;
  }

  std::vector<double> magnitude(const std::string& module, const LogicalShape& tensor,
                                const FileTensor& place) {
    const FileTensorInfo* info = nullptr;
    std::vector<double> all = values(module + ".lora_magnitude_vector", &info);
    if (info == nullptr) {  // as newer versions spell it
      all = values(module + ".lora_magnitude_vector.weight", &info);
    }
    if (info == nullptr) {
      throw Error(ErrorKind::kData,
                  "tensor " + kRoot + module + ".lora_magnitude_vector is missing", file_->path());
    }
    if (info->shape.num_elements() != place.file_rows) {
      wrong_shape(*info, Shape{place.file_rows}.text());
    }
    return our_rows(all, 1, tensor, place);
  }

  PeftConfig config_;
  std::vector<double> vera_a_, vera_b_;
  std::unique_ptr<SafetensorsFile> file_;
  config::ModelConfig model_;
  std::set<const FileTensorInfo*> used_;
};

}  // namespace

Adapter read_peft(const std::string& directory, const config::ModelConfig& config) {
  const PeftConfig peft = read_peft_config(directory + "/adapter_config.json");
  if (peft.is_prompt || peft.is_prefix) {
    return read_peft_tokens(directory, peft.is_prefix, config);
  }
  return AdapterReader(directory, config).read();
}

std::string peft_base(const std::string& directory) {
  const PeftConfig config = read_peft_config(directory + "/adapter_config.json");
  const std::filesystem::path named(config.base_model);
  for (const auto& path : {std::filesystem::path(directory) / named, named}) {
    std::error_code code;
    if (!config.base_model.empty() && path_is_directory(path)) {
      return std::filesystem::weakly_canonical(path, code).string();
    }
  }
  throw Error(
      ErrorKind::kConfig,
      "base_model_name_or_path is \"" + config.base_model + "\", which is no directory here",
      config.path, "say where the model lies (--base DIR)");
}

}  // namespace finescale
