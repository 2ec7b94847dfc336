// SPDX-License-Identifier: Apache-2.0
// What a gang keeps between stages: tokenizers, tokenized datasets and frozen weights, found by
// what they are made of. Nothing here is ever changed, so a stage's numbers cannot depend on what
// ran before it.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "comm/group.h"
#include "configs/schema/stage.pb.h"
#include "worker/data/dataset.h"
#include "worker/data/tokenizer.h"
#include "worker/methods/method.h"
#include "worker/model/transformer.h"

namespace finescale {

// Directories of a stage's input artifacts by key.
using InputDirs = std::map<std::string, std::string>;

struct FrozenModel {
  explicit FrozenModel(const config::Llama& llama, DType dtype) : layout(llama), weights(dtype) {
    layout.declare(weights);
    weights.allocate();
  }
  ModelLayout layout;
  ParameterSet weights;
  config::ModelConfig config;
  std::string key;  // artifact it came from; empty when fresh
};

// An adapter on its base, as an artifact describes it.
struct AdaptedModel {
  std::shared_ptr<FrozenModel> base;
  std::unique_ptr<Method> adapter;  // null: the base itself
};

class Resident {
 public:
  explicit Resident(Group& world) : world_(&world) {}

  // shared_ptr throughout: an entry may leave the cache while a stage still uses it.
  [[nodiscard]] std::shared_ptr<const Tokenizer> tokenizer(const config::TokenizerSource& source,
                                                           const InputDirs& dirs);
  [[nodiscard]] std::shared_ptr<const Dataset> dataset(const config::DatasetRef& ref,
                                                       const config::DataRules& rules,
                                                       const config::TokenizerSource& source,
                                                       const InputDirs& dirs);
  // Weights of a source that is no adapter. Collective over the world.
  [[nodiscard]] std::shared_ptr<FrozenModel> frozen(const config::ModelSource& source, DType dtype,
                                                    std::int64_t seed, const InputDirs& dirs);
  // A source to measure: weights, or an adapter with the base that its manifest names. Collective
  // over the world.
  [[nodiscard]] AdaptedModel adapted(const config::ModelSource& source, DType dtype,
                                     const InputDirs& dirs);

 private:
  template <class T>
  struct Cache {
    std::size_t capacity;
    std::list<std::pair<std::string, std::shared_ptr<T>>> entries;  // newest first
  };
  Group* world_;
  Cache<const Tokenizer> tokenizers_{4, {}};
  Cache<const Dataset> datasets_{16, {}};
  Cache<FrozenModel> models_{2, {}};
};

}  // namespace finescale
