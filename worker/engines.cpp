// SPDX-License-Identifier: Apache-2.0
#include "worker/engines.h"

#include <thread>

#include "comm/nccl/nccl_group.h"
#include "core/file_memory.h"
#include "core/parallel.h"

namespace finescale {

namespace {

MeshShape shape_of(const config::Mesh& mesh, int ranks) {
  const MeshShape shape{.data = mesh.data(),
                        .shard = mesh.shard(),
                        .tensor = mesh.tensor(),
                        .pipeline = mesh.pipeline()};
  // Replicas are whatever ranks there are: a stage goes on with more or fewer of them.
  return shape.num_ranks() == shape.data ? MeshShape{.data = ranks} : shape;
}

int zero_stage_of(const config::Mesh& mesh) {
  if (mesh.shard() == 1) {
    return 0;
  }
  return mesh.has_zero() ? mesh.zero() : 1;
}

Recompute recompute_of(const config::Mesh& mesh) {
  switch (mesh.recompute()) {
    case config::RECOMPUTE_NONE:
      return Recompute::kNone;
    case config::RECOMPUTE_SELECTIVE:
      return Recompute::kSelective;
    case config::RECOMPUTE_FULL:
      return Recompute::kFull;
  }
  return Recompute::kNone;
}

std::optional<std::string> scratch_of(const config::Mesh& mesh) {
  if (mesh.offload() != config::OFFLOAD_DISK) {
    return std::nullopt;
  }
  return mesh.has_scratch() ? mesh.scratch() : default_scratch_directory();
}

// A thread that communicates needs a core of its own: without one it takes time from computing.
bool overlaps(const config::Mesh& mesh, int ranks) {
  switch (mesh.overlap()) {
    case config::OVERLAPPING_ON:
      return ranks > 1;
    case config::OVERLAPPING_OFF:
      return false;
    case config::OVERLAPPING_AUTO:
      break;
  }
  const auto cores = static_cast<int>(std::thread::hardware_concurrency());
  return ranks > 1 && cores >= ranks * (num_threads() + 1);
}

}  // namespace

std::string describe(const Engine& engine) {
  const MeshShape& shape = engine.mesh->shape();
  const char* const recompute = engine.recompute == Recompute::kFull        ? "full"
                                : engine.recompute == Recompute::kSelective ? "selective"
                                                                            : "none";
  return "{data: " + std::to_string(shape.data) + ", shard: " + std::to_string(shape.shard) +
         ", tensor: " + std::to_string(shape.tensor) +
         ", pipeline: " + std::to_string(shape.pipeline) +
         ", zero: " + std::to_string(engine.zero_stage) + ", recompute: " + recompute +
         ", overlap: " + (engine.reductions != nullptr ? "on" : "off") +
         ", interleave: " + std::to_string(engine.chunks) + ", offload: " +
         (engine.scratch        ? "disk"
          : engine.host_moments ? "host"
                                : "none") +
         "}";
}

Engines::Engines(Group& world, Gpu* gpu) : gpu_(gpu), world_(&world) {
  if (gpu_ != nullptr && world.size() > 1) {
    gpu_world_ = make_nccl_group(world.split(0, world.rank(), "gpus"), *gpu_);
    world_ = gpu_world_.get();
  }
}

Engine Engines::get(const config::Mesh& mesh) {
  const MeshShape shape = shape_of(mesh, world_->size());
  std::string name;
  for (const int size : {shape.data, shape.shard, shape.tensor, shape.pipeline}) {
    name += std::to_string(size) + "x";
  }
  std::unique_ptr<Mesh>& made = meshes_[name];
  if (made == nullptr) {
    made = std::make_unique<Mesh>(*world_, shape);
  }
  Engine engine;
  engine.mesh = made.get();
  engine.zero_stage = zero_stage_of(mesh);
  engine.recompute = recompute_of(mesh);
  engine.host_moments = mesh.offload() != config::OFFLOAD_NONE;
  engine.scratch = scratch_of(mesh);
  engine.chunks = shape.pipeline > 1 ? mesh.interleave() : 1;
  if (gpu_ != nullptr) {
    engine.stream = gpu_->stream();
  } else if (overlaps(mesh, shape.data * shape.shard)) {
    if (reductions_ == nullptr) {
      reductions_ = std::make_unique<CommQueue>(&world_->monitor());
    }
    engine.reductions = reductions_.get();
  }
  if (shape.pipeline > 1) {
    if (messages_ == nullptr) {
      messages_ = std::make_unique<MessageQueues>(&world_->monitor());
    }
    engine.messages = messages_.get();
    if (gpu_ != nullptr) {
      std::unique_ptr<PieceChannels>& channels = channels_[name + std::to_string(engine.chunks)];
      if (channels == nullptr) {
        channels = std::make_unique<PieceChannels>(made->pipeline(), engine.chunks);
      }
      engine.channels = channels.get();
    }
  }
  return engine;
}

}  // namespace finescale
