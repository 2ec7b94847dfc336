// SPDX-License-Identifier: Apache-2.0
// The engine of a process by itself: one rank, no MPI.
#pragma once

#include <memory>

#include "comm/group.h"
#include "worker/engine.h"

namespace finescale {

class SingleEngine {
 public:
  SingleEngine()
      : group_(make_single_group()), mesh_(std::make_unique<Mesh>(*group_, MeshShape{})) {
    engine_.mesh = mesh_.get();
  }
  [[nodiscard]] Group& group() const noexcept { return *group_; }
  [[nodiscard]] const Engine& engine() const noexcept { return engine_; }

 private:
  std::unique_ptr<Group> group_;
  std::unique_ptr<Mesh> mesh_;
  Engine engine_;
};

}  // namespace finescale
