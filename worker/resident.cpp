// SPDX-License-Identifier: Apache-2.0
#include "worker/resident.h"

#include <algorithm>
#include <utility>

#include "checkpoint/checkpoint.h"
#include "checkpoint/manifest.h"
#include "configs/canonical.h"
#include "configs/mesh_plan.h"
#include "core/error.h"
#include "core/hash.h"
#include "worker/checkpoint_tensors.h"
#include "worker/data/token_cache.h"
#include "worker/data/tokenizer_file.h"
#include "worker/import/open_model.h"

namespace finescale {

namespace {

template <class Cache>
bool contains(const Cache& cache, const std::string& name) {
  return std::any_of(cache.entries.begin(), cache.entries.end(),
                     [&](const auto& entry) { return entry.first == name; });
}

template <class Cache, class Make>
auto find_or_make(Cache& cache, const std::string& name, const Make& make) {
  for (auto it = cache.entries.begin(); it != cache.entries.end(); ++it) {
    if (it->first == name) {
      cache.entries.splice(cache.entries.begin(), cache.entries, it);
      return cache.entries.front().second;
    }
  }
  auto made = make();
  cache.entries.emplace_front(name, made);
  if (cache.entries.size() > cache.capacity) {
    cache.entries.pop_back();
  }
  return made;
}

const std::string& directory_of(const std::string& key, const InputDirs& dirs) {
  const auto found = dirs.find(key);
  if (found == dirs.end()) {
    throw Error(ErrorKind::kProtocol, "no directory was given for the input artifact " + key);
  }
  return found->second;
}

// The name of a base in what is made from it: an artifact's key, else a hash of what files hold.
std::string base_key(const config::ModelSource& source) {
  return source.has_artifact() ? source.artifact() : hash_hex(key_text(source));
}

std::string tokenizer_path(const config::TokenizerSource& source, const InputDirs& dirs) {
  return source.has_file() ? source.file().path()
                           : directory_of(source.artifact(), dirs) + "/tokenizer.json";
}

// A flipped bit would go on into everything that is made with it.
void check_tokenizer(const config::TokenizerSource& source, const InputDirs& dirs) {
  if (!source.has_file()) {
    return check_artifact_file(directory_of(source.artifact(), dirs), "tokenizer.json");
  }
  const config::FileRef& file = source.file();
  if (!file.content().empty() && !file.path().ends_with(".gguf") &&
      hash_file(file.path()) != file.content()) {
    throw Error(ErrorKind::kData, "the file is not what it was when the run was planned",
                file.path(), "put the file back: what was trained so far used the other one");
  }
}

// Where a model lies is part of what it is here: the next stage may have another mesh.
std::string place_name(const Engine& engine) {
  const MeshShape& s = engine.mesh->shape();
  std::string name = engine.stream.on_gpu() ? "gpu." : "";
  for (const int part : {s.data, s.shard, s.tensor, s.pipeline, engine.zero_stage, engine.chunks}) {
    name += std::to_string(part) + ".";
  }
  return name;
}

std::shared_ptr<BaseModel> read_model(const Engine& engine, const config::ModelSource& source,
                                      WeightSource& weights, DType dtype, const BaseForm& form) {
  auto model = std::make_shared<BaseModel>(make_base_model(engine, weights.config(), dtype, form));
  model->key = base_key(source);
  read_base(weights, *model);
  return model;
}

// Whether a matrix or table of the model is stored as bf16.
bool stores_bf16(const WeightSource& weights) {
  ModelLayout layout(weights.config());
  ParameterSet set(DType::kF32);
  layout.declare(set);
  return !tensors_of_matrices(layout, set, [&](const std::string& tensor) {
            return weights.is_bf16(tensor);
          }).empty();
}

}  // namespace

std::shared_ptr<const Tokenizer> Resident::tokenizer(const config::TokenizerSource& source,
                                                     const InputDirs& dirs) {
  return find_or_make(tokenizers_, key_text(source), [&] {
    check_tokenizer(source, dirs);
    return std::make_shared<const Tokenizer>(Tokenizer::load(tokenizer_path(source, dirs)));
  });
}

std::string Resident::tokenizer_text(const config::TokenizerSource& source, const InputDirs& dirs) {
  check_tokenizer(source, dirs);
  return read_tokenizer_text(tokenizer_path(source, dirs));
}

config::DatasetRef located(const config::DatasetRef& ref, const InputDirs& dirs) {
  config::DatasetRef out = ref;
  for (config::DatasetRef& input : *out.mutable_inputs()) {
    input = located(input, dirs);
  }
  if (ref.has_artifact()) {
    config::FileRef& file = *out.add_files();
    file.set_path(directory_of(ref.artifact(), dirs) + "/data.jsonl");
    file.set_content(ref.artifact());  // the key says what is in it
  }
  return out;
}

std::shared_ptr<const Dataset> Resident::dataset(const config::DatasetRef& given,
                                                 const config::DataRules& rules,
                                                 const config::TokenizerSource& source,
                                                 const InputDirs& dirs) {
  const std::string name = key_text(given) + key_text(rules) + key_text(source);
  return find_or_make(datasets_, name, [&] {
    if (given.has_artifact()) {
      check_artifact_file(directory_of(given.artifact(), dirs), "data.jsonl");
    }
    const config::DatasetRef ref = located(given, dirs);
    TokenCache cache;
    cache.directory = cache_directory_;
    if (!cache.directory.empty()) {
      cache.tokenizer_hash = source.has_file() && !source.file().content().empty()
                                 ? source.file().content()
                                 : hash_file(tokenizer_path(source, dirs));
    }
    return std::make_shared<const Dataset>(ref, rules, *tokenizer(source, dirs), &cache);
  });
}

std::shared_ptr<BaseModel> Resident::base(const Engine& engine, const config::ModelSource& source,
                                          DType dtype, std::int64_t seed, const InputDirs& dirs,
                                          const BaseForm& form, ModelUse use) {
  if (source.has_fresh()) {  // made anew each time: cheap, and it will be trained
    auto model = std::make_shared<BaseModel>(
        make_base_model(engine, source.fresh(), dtype,
                        {.quantised = form.quantised, .rounds_table = form.rounds_table}));
    initialize(*model, seed);
    return model;
  }
  std::string kept = form.is_rounded ? "rounded." : "";
  if (form.quantised) {
    kept += std::to_string(static_cast<int>(form.quantised->format)) +
            (form.quantised->doubles ? "d." : ".") + (form.rounds_table ? "t." : "");
  }
  const std::string name = place_name(engine) + kept + dtype_name(dtype) + key_text(source);
  const std::string name_in_bf16 = "bf16." + name;
  // With ZeRO-3 a rank has only slices, which are kept as values.
  if (use == ModelUse::kGenerates && source.has_files() && !form.quantised &&
      engine.zero_stage < 3 && !contains(models_, name)) {
    if (auto model = base_in_bf16(engine, source, dtype, name_in_bf16)) {
      return model;
    }
  }
  return find_or_make(models_, name, [&] {
    models_.entries.remove_if([&](const auto& entry) { return entry.first == name_in_bf16; });
    const std::string path = source.has_files() ? ""
                             : source.has_checkpoint()
                                 ? source.checkpoint().path()
                                 : directory_of(source.artifact(), dirs) + "/checkpoint.h5";
    // Each rank by itself: units one by one, or whole matrices.
    if (source.has_files() || form.is_rounded || form.quantised) {
      const std::unique_ptr<WeightSource> weights =
          path.empty() ? open_model_files(source.files()) : make_checkpoint_source(path);
      return read_model(engine, source, *weights, dtype, form);
    }
    CheckpointReader reader(*world_, path);
    if (!reader.state().base_key.empty()) {
      throw Error(ErrorKind::kConfig, "training on top of an adapter is not in this version", path,
                  "start from full weights");
    }
    config::ModelConfig config;
    parse_canonical(reader.state().model_text, config);
    auto model = std::make_shared<BaseModel>(make_base_model(engine, config, dtype));
    model->key = base_key(source);
    read_base(reader, *model);
    return model;
  });
}

std::shared_ptr<BaseModel> Resident::base_in_bf16(const Engine& engine,
                                                  const config::ModelSource& source, DType dtype,
                                                  const std::string& name) {
  const std::unique_ptr<WeightSource> weights = open_model_files(source.files());
  if (!stores_bf16(*weights)) {
    return nullptr;
  }
  return find_or_make(models_, name, [&] {
    return read_model(engine, source, *weights, dtype, {.is_bf16 = [&](const std::string& tensor) {
                        return weights->is_bf16(tensor);
                      }});
  });
}

void Resident::keep_only(const std::vector<const BaseModel*>& models) {
  models_.entries.remove_if([&](const auto& entry) {
    return std::find(models.begin(), models.end(), entry.second.get()) == models.end();
  });
}

std::optional<config::StageSpec> Resident::adapter_stage(const config::ModelSource& source,
                                                         const InputDirs& dirs) {
  if (!source.has_artifact()) {
    return std::nullopt;
  }
  const std::string& directory = directory_of(source.artifact(), dirs);
  if (read_manifest(directory).base_key.empty()) {
    return std::nullopt;
  }
  config::StageSpec made_by;
  parse_canonical(CheckpointReader(*world_, directory + "/checkpoint.h5").state().stage_text,
                  made_by);
  return made_by;
}

AdaptedModel Resident::adapted(const Engine& engine, const config::ModelSource& source, DType dtype,
                               const InputDirs& dirs, ModelUse use) {
  AdaptedModel out;
  const std::optional<config::StageSpec> made_by = adapter_stage(source, dirs);
  if (!made_by) {
    out.base = base(engine, source, dtype, 0, dirs, {}, use);
    return out;
  }
  const config::Method& method = made_by->train().train().method();
  out.base =
      base(engine, made_by->train().model(), dtype, 0, dirs, {.quantised = quantisation_of(method)},
           reads_base(method) ? ModelUse::kMeasures : use);
  std::vector<CheckpointTensor> wanted;
  for (const auto& piece : out.base->pieces) {
    out.adapters.push_back(make_method(method, {.layout = &piece->layout,
                                                .base = base_weights(engine, *piece),
                                                .seed = made_by->train().seed(),
                                                .is_fresh = false}));
    Method& adapter = *out.adapters.back();
    for (const ParameterSet* set : {&adapter.trainable(), adapter.constants()}) {
      if (set != nullptr) {
        std::vector<CheckpointTensor> some = local_tensors(adapter.checkpoint_group(), *set);
        wanted.insert(wanted.end(), some.begin(), some.end());
      }
    }
  }
  CheckpointReader(*world_, directory_of(source.artifact(), dirs) + "/checkpoint.h5").read(wanted);
  for (const auto& adapter : out.adapters) {
    adapter->values_changed();
  }
  return out;
}

}  // namespace finescale
