// SPDX-License-Identifier: Apache-2.0
// What a gang keeps between stages: tokenizers, tokenized datasets and frozen weights, found by
// what they are made of. Nothing here is ever changed, so a stage's numbers cannot depend on what
// ran before it.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/group.h"
#include "configs/schema/stage.pb.h"
#include "worker/base_model.h"
#include "worker/data/dataset.h"
#include "worker/data/tokenizer.h"
#include "worker/methods/method.h"

namespace finescale {

// Directories of a stage's input artifacts by key.
using InputDirs = std::map<std::string, std::string>;

// With the file that a stage left, where the examples are a stage's.
[[nodiscard]] config::DatasetRef located(const config::DatasetRef& ref, const InputDirs& dirs);

// A model to measure, on this rank's part of the mesh: weights, and with an adapter what it adds.
struct AdaptedModel {
  std::shared_ptr<BaseModel> base;
  std::vector<std::unique_ptr<Method>> adapters;  // by piece; empty: the base itself
};

class Resident {
 public:
  // `cache_directory`: where tokens are kept on disk; empty: nowhere.
  Resident(Group& world, std::string cache_directory)
      : world_(&world), cache_directory_(std::move(cache_directory)) {}

  // shared_ptr throughout: an entry may leave the cache while a stage still uses it.
  [[nodiscard]] std::shared_ptr<const Tokenizer> tokenizer(const config::TokenizerSource& source,
                                                           const InputDirs& dirs);
  // Its file, whole, for the artifact of what was trained with it.
  [[nodiscard]] static std::string tokenizer_text(const config::TokenizerSource& source,
                                                  const InputDirs& dirs);
  [[nodiscard]] std::shared_ptr<const Dataset> dataset(const config::DatasetRef& ref,
                                                       const config::DataRules& rules,
                                                       const config::TokenizerSource& source,
                                                       const InputDirs& dirs);
  // Weights of a source that is no adapter; a fresh one is never rounded. Files that are opened to
  // generate give what is kept of them for other uses if there is that. Collective over the world.
  [[nodiscard]] std::shared_ptr<BaseModel> base(const Engine& engine,
                                                const config::ModelSource& source, DType dtype,
                                                std::int64_t seed, const InputDirs& dirs,
                                                const BaseForm& form = {},
                                                ModelUse use = ModelUse::kMeasures);
  // The stage that made an adapter; empty: the source is none.
  [[nodiscard]] std::optional<config::StageSpec> adapter_stage(const config::ModelSource& source,
                                                               const InputDirs& dirs);
  // A source to measure or to ask: weights, or an adapter with the base that its manifest names.
  // Collective over the world.
  [[nodiscard]] AdaptedModel adapted(const Engine& engine, const config::ModelSource& source,
                                     DType dtype, const InputDirs& dirs,
                                     ModelUse use = ModelUse::kMeasures);

  // Drops the weights of sources that are none of these.
  void keep_only(const std::vector<const BaseModel*>& models);

 private:
  // Of files; null: they store no matrix as bf16.
  [[nodiscard]] std::shared_ptr<BaseModel> base_in_bf16(const Engine& engine,
                                                        const config::ModelSource& source,
                                                        DType dtype, const std::string& name);

  template <class T>
  struct Cache {
    std::size_t capacity;
    std::list<std::pair<std::string, std::shared_ptr<T>>> entries;  // newest first
  };
  Group* world_;
  std::string cache_directory_;
  Cache<const Tokenizer> tokenizers_{4, {}};
  Cache<const Dataset> datasets_{16, {}};
  Cache<BaseModel> models_{2, {}};
};

}  // namespace finescale
