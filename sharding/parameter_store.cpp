// SPDX-License-Identifier: Apache-2.0
#include "sharding/parameter_store.h"

#include <algorithm>

#include "comm/comm_queue.h"
#include "core/arena.h"
#include "core/error.h"
#include "core/transfer.h"
#include "sharding/gradient_add.h"
#include "sharding/gradient_engine.h"

namespace finescale {

struct ParameterStore::Impl {
  ShardPlan plan;  // slices over the shard axis
  DType dtype;
  CommQueue* queue;
  std::unique_ptr<Group> shard;  // its own: collectives of other threads do not meet these
  int zero_stage;
  bool gathers = false;  // holds ranges only
  LeafMemory memory;
  Arena arena;
  UnitBlocks blocks;
  UnitBlocks ranges;  // this rank's slice of each unit

  struct Place {
    int unit = -1;  // whose values are in it, or on their way
    int held = 0;
    CommQueue::Ticket ticket = 0;
  };
  std::vector<Place> places;
  CommQueue::Ticket newest = 0;
  std::vector<std::size_t> offsets;

  Impl(Mesh& mesh, const ShardPlan& replica_plan, DType type, int stage, CommQueue* comm,
       const TensorView& whole, const Stream& stream);
  void make_whole(TensorView block);
  void make_ranges();
  void gather(int unit);
  void start_gather(int unit);
  void wait() const {
    if (queue != nullptr && newest != 0) {
      queue->wait(newest);
    }
  }
};

ParameterStore::Impl::Impl(Mesh& mesh, const ShardPlan& replica_plan, DType type, int stage,
                           CommQueue* comm, const TensorView& whole, const Stream& stream)
    : plan(replica_plan.over(mesh.shape().shard)),
      dtype(type),
      queue(comm),
      shard(mesh.shard().split(0, mesh.shard().rank(), "shard")),
      zero_stage(stage),
      gathers(stage == 3 && mesh.shape().shard > 1),
      memory{.stream = stream},
      arena(stream, MemoryPurpose::kWeights) {
  FS_CHECK(replica_plan.num_slices() == mesh.replica().size(),
           "the plan cuts over the replica group");
  if (gathers) {
    FS_CHECK(whole.empty(), "at stage 3 no rank holds the whole block");
    make_ranges();
  } else {
    make_whole(whole);
  }
}

void ParameterStore::Impl::make_whole(TensorView block) {
  const std::int64_t base = plan.unit(0).begin;
  const std::int64_t size = plan.unit(plan.num_units() - 1).end - base;
  if (block.empty()) {
    arena.reserve(padded_bytes(size, dtype));
    block = arena.allocate(dtype, Shape{size});
    clear_elements(memory, block.data, size, dtype);
  }
  FS_CHECK(block.num_elements() == size && block.dtype == dtype, "a block of another layout");
  for (int unit = 0; unit < plan.num_units(); ++unit) {
    const UnitRange all = plan.unit(unit);
    const UnitRange mine = plan.slice(unit, shard->rank());
    blocks.emplace_back(element_at(block.data, all.begin - base, dtype), dtype, Shape{all.size()});
    ranges.emplace_back(element_at(block.data, mine.begin - base, dtype), dtype,
                        Shape{mine.size()});
  }
}

void ParameterStore::Impl::make_ranges() {
  std::int64_t kept = 0;
  for (int unit = 0; unit < plan.num_units(); ++unit) {
    kept += plan.slice(unit, shard->rank()).size();
  }
  std::size_t bytes = padded_bytes(kept, dtype);
  for (const std::int64_t size : plan.place_sizes()) {
    bytes += padded_bytes(size, dtype);
  }
  arena.reserve(bytes);
  std::vector<void*> in_use;
  for (const std::int64_t size : plan.place_sizes()) {
    in_use.push_back(arena.allocate(dtype, Shape{size}).data);
  }
  void* const values = arena.allocate(dtype, Shape{kept}).data;
  clear_elements(memory, values, kept, dtype);
  std::int64_t begin = 0;
  for (int unit = 0; unit < plan.num_units(); ++unit) {
    const std::int64_t size = plan.slice(unit, shard->rank()).size();
    blocks.emplace_back(in_use[static_cast<std::size_t>(plan.place(unit))], dtype,
                        Shape{plan.unit(unit).size()});
    ranges.emplace_back(element_at(values, begin, dtype), dtype, Shape{size});
    begin += size;
  }
  places.resize(in_use.size());
}

// Collective over shard.
void ParameterStore::Impl::gather(int unit) {
  const auto index = static_cast<std::size_t>(unit);
  if (blocks[index].num_elements() == 0) {
    return;
  }
  offsets.clear();
  for (int rank = 0; rank < shard->size(); ++rank) {
    offsets.push_back(
        static_cast<std::size_t>(plan.slice(unit, rank).begin - plan.unit(unit).begin) *
        dtype_size(dtype));
  }
  offsets.push_back(blocks[index].size_bytes());
  shard->all_gather({ranges[index].as<std::byte>(), ranges[index].size_bytes()},
                    {blocks[index].as<std::byte>(), blocks[index].size_bytes()}, offsets);
}

// Collective over shard, here or on the queue's thread.
void ParameterStore::Impl::start_gather(int unit) {
  Place& place = places[static_cast<std::size_t>(plan.place(unit))];
  FS_CHECK(place.held == 0, "two units of one place are held");
  place.unit = unit;
  if (queue == nullptr) {
    gather(unit);
  } else {
    newest = place.ticket = queue->enqueue([this, unit] { gather(unit); });
  }
}

ParameterStore::ParameterStore(Mesh& mesh, const ShardPlan& plan, DType dtype, int zero_stage,
                               CommQueue* queue, const TensorView& whole, const Stream& stream)
    : impl_(std::make_unique<Impl>(mesh, plan, dtype, zero_stage, queue, whole, stream)) {}

ParameterStore::~ParameterStore() {
  try {  // the queue's closures use this memory
    impl_->wait();
  } catch (...) {  // acquire() would have thrown it
  }
}

const UnitBlocks& ParameterStore::blocks() const {
  return impl_->blocks;
}

bool ParameterStore::gathers() const noexcept {
  return impl_->gathers;
}

void ParameterStore::acquire(int unit, int next) {
  Impl& self = *impl_;
  if (!self.gathers) {
    return;
  }
  Impl::Place& place = self.places[static_cast<std::size_t>(self.plan.place(unit))];
  if (place.unit != unit) {
    self.start_gather(unit);
  }
  ++place.held;
  if (next >= 0 && self.queue != nullptr) {
    const Impl::Place& ahead = self.places[static_cast<std::size_t>(self.plan.place(next))];
    if (ahead.unit != next && ahead.held == 0) {
      self.start_gather(next);
    }
  }
  if (self.queue != nullptr) {
    self.queue->wait(place.ticket);
  }
}

void ParameterStore::release(int unit) {
  if (!impl_->gathers) {
    return;
  }
  Impl::Place& place = impl_->places[static_cast<std::size_t>(impl_->plan.place(unit))];
  FS_CHECK(place.unit == unit && place.held > 0, "a unit that is not held");
  --place.held;
}

UnitRange ParameterStore::owned_range(int unit) const {
  const Impl& self = *impl_;
  return self.zero_stage == 0 ? self.plan.unit(unit) : self.plan.slice(unit, self.shard->rank());
}

TensorView ParameterStore::owned(int unit) {
  impl_->wait();  // what is being gathered is not changed
  const auto index = static_cast<std::size_t>(unit);
  return impl_->zero_stage == 0 ? impl_->blocks[index] : impl_->ranges[index];
}

void ParameterStore::forget() {
  impl_->wait();
  for (Impl::Place& place : impl_->places) {
    FS_CHECK(place.held == 0, "a unit is held");
    place.unit = -1;
  }
}

void ParameterStore::publish() {
  Impl& self = *impl_;
  forget();
  if (self.zero_stage == 0 || self.gathers || self.shard->size() == 1) {
    return;
  }
  for (int unit = 0; unit < self.plan.num_units(); ++unit) {
    self.gather(unit);
  }
}

std::vector<ParameterStore::Piece> ParameterStore::pieces(std::int64_t begin, std::int64_t end) {
  Impl& self = *impl_;
  std::vector<Piece> kept;
  for (int unit = 0; unit < self.plan.num_units(); ++unit) {
    const auto index = static_cast<std::size_t>(unit);
    const UnitRange here =
        self.gathers ? self.plan.slice(unit, self.shard->rank()) : self.plan.unit(unit);
    const TensorView& values = self.gathers ? self.ranges[index] : self.blocks[index];
    const UnitRange range{std::max(begin, here.begin), std::min(end, here.end)};
    if (range.begin < range.end) {
      kept.push_back({range,
                      {element_at(values.data, range.begin - here.begin, self.dtype), self.dtype,
                       Shape{range.size()}}});
    }
  }
  return kept;
}

void ParameterStore::fill(const LocalPart& part, std::int64_t offset, const Read& read) {
  impl_->wait();
  for (Impl::Place& place : impl_->places) {
    place.unit = -1;
  }
  for (const Piece& piece : pieces(offset, offset + part.shape.num_elements())) {
    std::int64_t at = 0;
    for (const LocalPart& slab :
         hyperslabs_of(part, piece.range.begin - offset, piece.range.end - offset)) {
      const std::int64_t count = slab.shape.num_elements();
      HostCopy values(impl_->memory.stream,
                      {element_at(piece.values.data, at, impl_->dtype), impl_->dtype, Shape{count}},
                      HostCopy::For::kWriting);
      read(slab, values.view());
      values.commit();
      at += count;
    }
  }
}

std::size_t ParameterStore::memory_bytes() const {
  return impl_->arena.capacity();
}

std::size_t ParameterStore::gather_bytes() const {
  std::size_t bytes = 0;
  for (std::size_t place = 0; place < impl_->places.size(); ++place) {
    bytes += padded_bytes(impl_->plan.place_sizes()[place], impl_->dtype);
  }
  return bytes;
}

std::uint64_t ParameterStore::bytes_sent() const noexcept {
  return impl_->shard->bytes_sent();
}

}  // namespace finescale
