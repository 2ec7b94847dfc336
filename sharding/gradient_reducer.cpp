// SPDX-License-Identifier: Apache-2.0
#include "sharding/gradient_reducer.h"

#include <vector>

#include "comm/comm_queue.h"
#include "core/error.h"
#include "core/parallel.h"
#include "sharding/gradient_engine.h"

namespace finescale {

struct GradientReducer::Impl {
  ShardPlan plan;
  DType dtype;
  LeafMemory memory;
  CommQueue* queue;  // null: no overlap
  // Groups of its own: collectives of another thread in the mesh's groups do not meet these.
  std::unique_ptr<Group> replica;
  std::unique_ptr<Group> data;
  int first = 0;  // slices of the result
  int last = 0;
  bool leaves_in_places = false;
  std::unique_ptr<GradientEngine> engine;

  std::int64_t rounds = 0;
  std::span<const std::int64_t> mine;
  std::size_t num_closed = 0;  // of mine
  bool is_open = false;
  const UnitBlocks* blocks = nullptr;
  std::vector<bool> opened;  // units of this round
  std::vector<bool> closed;
  std::int64_t pass = 0;  // of the engine
  int next_unit = -1;     // is reduced next in this pass
  CommQueue::Ticket newest = 0;
  std::vector<CommQueue::Ticket> place_tickets;  // until then the place's leaf is being sent
  std::vector<int> place_units;                  // opened and not yet sent; -1: none

  Impl(Mesh& mesh, const ShardPlan& cut, DType type, std::int64_t max_micro_batches,
       ReducerOptions options, CommQueue* comm);
  void start_round();
  void reduce(int unit);
  void reduce_ready();
  void end_pass();
  void close(int unit);
};

GradientReducer::Impl::Impl(Mesh& mesh, const ShardPlan& cut, DType type,
                            std::int64_t max_micro_batches, ReducerOptions options, CommQueue* comm)
    : plan(cut),
      dtype(type),
      memory(options.memory),
      queue(options.overlap ? comm : nullptr),
      replica(mesh.replica().split(0, mesh.replica().rank(), "replica")),
      data(mesh.data().split(0, mesh.data().rank(), "data")) {
  FS_CHECK(plan.num_slices() == replica->size(), "the plan cuts over the replica group");
  FS_CHECK(options.zero_stage >= 0 && options.zero_stage <= 3,
           "ZeRO stage " + std::to_string(options.zero_stage));
  const bool whole = options.zero_stage == 0;
  first = whole ? 0 : mesh.coord().shard * mesh.shape().data;
  last = whole ? replica->size() : first + mesh.shape().data;
  // One rank has nobody to leave slices to.
  leaves_in_places = options.zero_stage >= 2 && replica->size() > 1;
  EngineParts parts{.group = replica.get(),
                    .gather = whole ? replica.get() : data.get(),
                    .first = first,
                    .last = last,
                    .plan = plan,
                    .dtype = dtype,
                    .max_micro_batches = max_micro_batches,
                    .memory = memory};
  engine = leaves_in_places ? make_strided_engine(std::move(parts))
                            : make_contiguous_engine(std::move(parts));
  opened.resize(static_cast<std::size_t>(plan.num_units()));
  closed.resize(opened.size());
  place_tickets.resize(plan.place_sizes().size());
  place_units.resize(plan.place_sizes().size(), -1);
}

void GradientReducer::Impl::start_round() {
  opened.assign(opened.size(), false);
  closed.assign(closed.size(), false);
}

// Collective over replica, here or on the queue's thread.
void GradientReducer::Impl::reduce(int unit) {
  const auto place = static_cast<std::size_t>(plan.place(unit));
  place_units[place] = -1;
  if (plan.unit(unit).size() == 0) {
    return;
  }
  if (queue == nullptr) {
    engine->reduce_unit(pass, unit);
    return;
  }
  newest = queue->enqueue([this, unit, at = pass] {
    set_num_threads(1);  // of the queue's thread: denormal numbers count as zero there too
    engine->reduce_unit(at, unit);
  });
  place_tickets[place] = newest;
}

void GradientReducer::Impl::reduce_ready() {
  // An empty unit (its gradient is summed elsewhere) is never closed and holds up none behind it.
  while (next_unit >= 0 &&
         (closed[static_cast<std::size_t>(next_unit)] || plan.unit(next_unit).size() == 0)) {
    reduce(next_unit--);
  }
}

void GradientReducer::Impl::end_pass() {
  FS_CHECK(next_unit < 0, "units are not closed");
  ++pass;
  next_unit = plan.num_units() - 1;
}

void GradientReducer::Impl::close(int unit) {
  closed[static_cast<std::size_t>(unit)] = true;
  if (pass < engine->num_passes() && (is_open ? engine->in_pass() : num_closed == mine.size())) {
    reduce_ready();
  }
}

GradientReducer::GradientReducer(Mesh& mesh, const ShardPlan& plan, DType dtype,
                                 std::int64_t max_micro_batches, ReducerOptions options,
                                 CommQueue* queue)
    : impl_(std::make_unique<Impl>(mesh, plan, dtype, max_micro_batches, options, queue)) {}

GradientReducer::~GradientReducer() {
  if (impl_->queue != nullptr) {  // its closures use this memory
    try {
      impl_->queue->wait(impl_->newest);
    } catch (...) {  // finish() would have thrown it
    }
  }
}

std::span<const std::int64_t> GradientReducer::begin(std::int64_t num_micro_batches) {
  Impl& self = *impl_;
  FS_CHECK(!self.is_open, "a micro-batch is open");
  self.mine = self.engine->begin(num_micro_batches);
  const std::int64_t ranks = self.replica->size();
  self.rounds = (num_micro_batches + ranks - 1) / ranks;
  self.num_closed = 0;
  self.pass = 0;
  self.next_unit = self.plan.num_units() - 1;
  self.start_round();
  return self.mine;
}

std::int64_t GradientReducer::num_rounds() const noexcept {
  return impl_->rounds;
}

const UnitBlocks& GradientReducer::open_micro_batch() {
  Impl& self = *impl_;
  FS_CHECK(!self.is_open && self.num_closed < self.mine.size(), "no micro-batch is due");
  self.blocks = &self.engine->open_leaf();
  self.is_open = true;
  return *self.blocks;
}

void GradientReducer::open_unit(int unit) {
  Impl& self = *impl_;
  const auto index = static_cast<std::size_t>(unit);
  FS_CHECK(self.is_open && !self.closed[index], "a unit outside of a micro-batch");
  if (self.opened[index]) {
    return;
  }
  if (self.leaves_in_places && self.plan.unit(unit).size() > 0) {
    const auto place = static_cast<std::size_t>(self.plan.place(unit));
    FS_CHECK(self.place_units[place] < 0, "two units of one place are open");
    if (self.queue != nullptr) {
      self.queue->wait(self.place_tickets[place]);
    }
    self.place_units[place] = unit;
  }
  clear_elements(self.memory, (*self.blocks)[index].data, self.plan.unit(unit).size(), self.dtype);
  self.opened[index] = true;
}

void GradientReducer::close_unit(int unit) {
  Impl& self = *impl_;
  FS_CHECK(!self.closed[static_cast<std::size_t>(unit)], "a unit is closed twice");
  if (self.is_open) {
    open_unit(unit);  // zeros, if nothing was written
  }
  self.close(unit);
}

void GradientReducer::close_micro_batch() {
  Impl& self = *impl_;
  FS_CHECK(self.is_open, "no micro-batch is open");
  for (int unit = self.plan.num_units() - 1; unit >= 0; --unit) {
    if (!self.closed[static_cast<std::size_t>(unit)]) {
      close_unit(unit);
    }
  }
  if (self.engine->in_pass()) {
    self.end_pass();
  }
  self.engine->close_leaf();
  ++self.num_closed;
  self.is_open = false;
  self.start_round();
}

void GradientReducer::idle_round() {
  Impl& self = *impl_;
  FS_CHECK(!self.is_open && self.num_closed == self.mine.size(), "this rank has a micro-batch");
  for (int unit = self.plan.num_units() - 1; unit >= 0; --unit) {
    if (!self.closed[static_cast<std::size_t>(unit)]) {
      self.close(unit);
    }
  }
  if (self.pass < self.engine->num_passes()) {
    self.end_pass();
  }
  self.start_round();
}

void GradientReducer::finish() {
  Impl& self = *impl_;
  FS_CHECK(!self.is_open && self.num_closed == self.mine.size(), "micro-batches are missing");
  while (self.pass < self.engine->num_passes()) {
    idle_round();
  }
  if (self.queue != nullptr && self.newest != 0) {
    self.queue->wait(self.newest);
  }
}

UnitRange GradientReducer::owned(int unit) const {
  return impl_->plan.slices(unit, impl_->first, impl_->last);
}

TensorView GradientReducer::gradient(int unit) const {
  return impl_->engine->result(unit);
}

std::size_t GradientReducer::memory_bytes() const {
  return impl_->engine->memory_bytes();
}

std::uint64_t GradientReducer::bytes_sent() const noexcept {
  return impl_->replica->bytes_sent() + impl_->data->bytes_sent();
}

}  // namespace finescale
