// SPDX-License-Identifier: Apache-2.0
// The meshes of a gang: made when a stage first asks for one and kept, because making groups is
// collective and costs more than a short stage.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "configs/schema/sweep.pb.h"
#include "core/gpu.h"
#include "worker/engine.h"

namespace finescale {

// The mesh and levers in use, as the record of a run shows them.
[[nodiscard]] std::string describe(const Engine& engine);

class Engines {
 public:
  // With a GPU, null: none, the engines' streams are its and what lies in its memory travels by
  // NCCL. The GPU must outlive them. Collective over the world.
  explicit Engines(Group& world, Gpu* gpu = nullptr);

  // What the stage's mesh says; a mesh of the data axis alone has as many replicas as there are
  // ranks. Throws kConfig when it is not one for this many ranks. Collective over the world.
  [[nodiscard]] Engine get(const config::Mesh& mesh);

 private:
  Gpu* gpu_;
  std::unique_ptr<Group> gpu_world_;  // of more than one rank
  Group* world_;
  std::map<std::string, std::unique_ptr<Mesh>> meshes_;
  std::unique_ptr<CommQueue> reductions_;
  std::unique_ptr<MessageQueues> messages_;
  std::map<std::string, std::unique_ptr<PieceChannels>> channels_;
};

}  // namespace finescale
