// SPDX-License-Identifier: Apache-2.0
// The meshes of a gang: made when a stage first asks for one and kept, because making groups is
// collective and costs more than a short stage.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "configs/schema/sweep.pb.h"
#include "worker/engine.h"

namespace finescale {

// The mesh and levers in use, as the record of a run shows them.
[[nodiscard]] std::string describe(const Engine& engine);

class Engines {
 public:
  explicit Engines(Group& world) : world_(&world) {}

  // What the stage's mesh says; a mesh of the data axis alone has as many replicas as there are
  // ranks. Throws kConfig when it is not one for this many ranks. Collective over the world.
  [[nodiscard]] Engine get(const config::Mesh& mesh);

 private:
  Group* world_;
  std::map<std::string, std::unique_ptr<Mesh>> meshes_;
  std::unique_ptr<CommQueue> reductions_;
  std::unique_ptr<MessageQueues> messages_;
};

}  // namespace finescale
