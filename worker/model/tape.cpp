// SPDX-License-Identifier: Apache-2.0
// Memory of the tape and the markers of units.
#include "worker/model/tape.h"

#include "core/error.h"
#include "core/transfer.h"
#include "kernels/round.h"

namespace finescale {

namespace {

std::int64_t stride_of(std::int64_t columns, DType dtype) {
  return dtype == DType::kBf16 ? rounded_stride(columns) : columns;
}

}  // namespace

void Tape::begin(std::int64_t tokens, std::int64_t max_tokens, bool training) {
  FS_CHECK(tokens <= max_tokens, "micro-batch is larger than announced");
  if (max_tokens > max_tokens_) {  // every block is too small now
    activations_.clear();
    shared_.clear();
    gradients_.clear();
    uploaded_.clear();
    row_ids_ = AlignedBuffer();
    dense_gradient_ = AlignedBuffer();
    made_ = AlignedBuffer();
    memory_bytes_ = 0;
    max_tokens_ = max_tokens;
  }
  tokens_ = tokens;
  training_ = training;
  num_uploaded_ = 0;
  values_.clear();
  ops_.clear();
  waiting_.clear();
  input_ = kNoValue;
  output_ = kNoValue;
  kept_ = TensorView();
  again_ = false;
  embedding_rows_ = {};
  for (auto& [key, pool] : activations_) {
    pool.next = 0;
  }
  for (auto& [key, pool] : gradients_) {
    pool.free.clear();
    for (std::size_t i = pool.blocks.size(); i > 0; --i) {
      pool.free.push_back(static_cast<int>(i) - 1);
    }
  }
}

void Tape::add_block(Pool& pool, std::int64_t elements, DType dtype) {
  pool.blocks.emplace_back(static_cast<std::size_t>(elements) * dtype_size(dtype), stream_,
                           MemoryPurpose::kActivations);
  memory_bytes_ += pool.blocks.back().size_bytes();
  ++num_allocations_;
}

void Tape::add_block_of_rows(Pool& pool, std::int64_t columns, Rows rows, DType dtype) {
  const std::int64_t count = rows == Rows::kAll ? max_tokens_ : exchange_.most_rows(max_tokens_);
  add_block(pool, count * stride_of(columns, dtype), dtype);
}

Tape::Pool& Tape::pool_of(Pools& pools, std::int64_t columns, Rows rows, DType dtype) {
  return pools[{columns, exchange_.active() ? rows : Rows::kAll, dtype}];
}

TensorView Tape::block_view(const Pool& pool, std::size_t block, std::int64_t columns, Rows rows,
                            DType dtype) const {
  const std::int64_t count = rows == Rows::kAll ? tokens_
                                                : exchange_.begin(tokens_, exchange_.rank() + 1) -
                                                      exchange_.begin(tokens_, exchange_.rank());
  TensorView view(pool.blocks[block].data(), dtype, Shape{count, columns});
  view.row_stride = stride_of(columns, dtype);
  return view;
}

TensorView Tape::allocate(std::int64_t columns, Rows rows, DType dtype) {
  Pool& pool = pool_of(activations_, columns, rows, dtype);
  if (pool.next == pool.blocks.size()) {
    add_block_of_rows(pool, columns, rows, dtype);
  }
  return block_view(pool, pool.next++, columns, rows, dtype);
}

TensorView Tape::shared_block(std::int64_t columns, std::size_t slot, Rows rows, DType dtype,
                              bool of_branch) {
  Pool& pool = pool_of(shared_, of_branch ? -columns : columns, rows, dtype);
  while (pool.blocks.size() <= slot) {
    add_block_of_rows(pool, columns, rows, dtype);
  }
  return block_view(pool, slot, columns, rows, dtype);
}

TensorView Tape::shifted(const NormRule& rule, std::int64_t columns) {
  if (rule.offset == 0) {
    return {};
  }
  const std::size_t bytes = static_cast<std::size_t>(columns) * dtype_size(dtype_);
  if (shifted_.size_bytes() < bytes) {
    shifted_ = AlignedBuffer(bytes, stream_, MemoryPurpose::kActivations);
    ++num_allocations_;
  }
  return {shifted_.data(), dtype_, Shape{columns}};
}

TensorView Tape::gradient_buffer(std::int64_t columns, Rows rows, DType dtype) {
  Pool& pool = pool_of(gradients_, columns, rows, dtype);
  if (pool.free.empty()) {
    add_block_of_rows(pool, columns, rows, dtype);
    pool.free.push_back(static_cast<int>(pool.blocks.size()) - 1);
  }
  const int block = pool.free.back();
  pool.free.pop_back();
  return block_view(pool, static_cast<std::size_t>(block), columns, rows, dtype);
}

void Tape::give_back(const TensorView& buffer, Rows rows) {
  Pool& pool = pool_of(gradients_, buffer.cols(), rows, buffer.dtype);
  for (std::size_t i = 0; i < pool.blocks.size(); ++i) {
    if (pool.blocks[i].data() == buffer.data) {
      pool.free.push_back(static_cast<int>(i));
    }
  }
}

// Gradients of the residual stream go on living under another value, and an activation's
// input's lies in its own data: only a block of the pool that no other value refers to goes back.
void Tape::release_gradient(Value value) {
  TensorView& released = gradient(value);
  int references = 0;
  for (const Node& other : values_) {
    references += static_cast<int>(other.gradient.data == released.data);
  }
  if (references == 1) {
    give_back(released, node(value).rows);
  }
  released = TensorView();
}

Value Tape::add_value(const TensorView& data, Rows rows, bool needs_gradient, int maker) {
  values_.push_back({data, {}, rows, training_ && needs_gradient, maker, data.dtype});
  return static_cast<Value>(values_.size()) - 1;
}

TensorView Tape::ids(std::span<const std::int32_t> host) {
  const Shape shape{static_cast<std::int64_t>(host.size())};
  if (!stream_.on_gpu()) {
    return {const_cast<std::int32_t*>(host.data()), DType::kI32, shape};
  }
  for (std::size_t i = 0; i < num_uploaded_; ++i) {
    const Uploaded& known = uploaded_[i];
    if (known.host.data() == host.data() && known.host.size() == host.size()) {
      return {known.memory.data(), DType::kI32, shape};
    }
  }
  if (num_uploaded_ == uploaded_.size()) {
    const auto most = static_cast<std::size_t>(max_tokens_) + 1;
    uploaded_.push_back(
        {{}, AlignedBuffer(most * sizeof(std::int32_t), stream_, MemoryPurpose::kActivations)});
    ++num_allocations_;
  }
  Uploaded& next = uploaded_[num_uploaded_++];
  next.host = host;
  copy_to_device(stream_, host.data(), next.memory.data(), host.size_bytes());
  return {next.memory.data(), DType::kI32, shape};
}

std::size_t Tape::activation_bytes() const noexcept {
  std::size_t bytes = 0;
  for (const Pools* pools : {&activations_, &shared_}) {
    for (const auto& [key, pool] : *pools) {
      for (const AlignedBuffer& block : pool.blocks) {
        bytes += block.size_bytes();
      }
    }
  }
  return bytes;
}

void Tape::enter_unit(int unit, std::int64_t keep_columns, bool is_frozen) {
  again_ = keep_columns > 0 && (recompute_ == Recompute::kFull || !training_ || is_frozen);
  if (again_) {
    kept_ = allocate(keep_columns, Rows::kOwn);
    for (auto& [key, pool] : activations_) {
      pool.mark = pool.next;
    }
  }
  unit_op_ = ops_.size();
  unit_value_ = values_.size();
  record(EnterOp{unit, false});
}

void Tape::leave_unit(int unit) {
  bool backward = false;
  for (std::size_t i = unit_value_; i < values_.size(); ++i) {
    backward = backward || values_[i].needs_gradient;
  }
  std::get<EnterOp>(ops_[unit_op_]).backward = backward;
  record(LeaveOp{unit, unit_op_ + 1, backward, false, again_});
  if (again_) {
    // The next unit writes over these blocks. What later units keep may lie in them too: by the
    // time this unit runs again, in backward, they are done.
    for (auto& [key, pool] : activations_) {
      pool.next = pool.mark;
    }
    again_ = false;
  }
}

void Tape::open_gradient(int unit) {
  if (hooks_ != nullptr && hooks_->enter) {
    hooks_->enter(unit, true);
  }
  for (Op& op : ops_) {
    if (auto* leave = std::get_if<LeaveOp>(&op); leave != nullptr && leave->unit == unit) {
      leave->opened = leave->backward = true;
    }
    if (auto* enter = std::get_if<EnterOp>(&op); enter != nullptr && enter->unit == unit) {
      enter->backward = true;
    }
  }
}

void Tape::run_forward(const EnterOp& op) {
  if (hooks_ != nullptr && hooks_->enter) {
    hooks_->enter(op.unit, false);
  }
}

void Tape::run_forward(const LeaveOp& op) {
  if (hooks_ != nullptr && hooks_->leave) {
    hooks_->leave(op.unit, false);
  }
}

void Tape::run_backward(const EnterOp& op) {
  if (op.backward && hooks_ != nullptr && hooks_->leave) {
    hooks_->leave(op.unit, true);
  }
  range_.reset();
}

void Tape::run_backward(const LeaveOp& op) {
  if (!op.backward) {
    return;
  }
  range_.emplace(stream_, "unit backward", op.unit);
  if (!op.opened && hooks_ != nullptr && hooks_->enter) {
    hooks_->enter(op.unit, true);
  }
  for (std::size_t i = op.first; op.again && !std::holds_alternative<LeaveOp>(ops_[i]); ++i) {
    std::visit([this](const auto& inner) { run_forward(inner); }, ops_[i]);
  }
}

}  // namespace finescale
