// SPDX-License-Identifier: Apache-2.0
// The ranges of a piece's trainable parameters that this rank updates, with the optimizer's moments
// for them: the whole of every unit, or with ZeRO its shard's range. Also this rank's share of what
// is counted once over all ranks: norms and checkpoints. The main thread of a rank calls.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "sharding/gradient_reducer.h"
#include "sharding/parameter_store.h"
#include "worker/gradient_norm.h"
#include "worker/methods/method.h"
#include "worker/model/parameters.h"
#include "worker/optim/moments.h"
#include "worker/optim/update_rule.h"

namespace finescale {

struct TrainedUnit {
  int unit = 0;
  UnitRange owned;  // elements of the flat block that this rank updates
  UnitRange share;  // of these, what no other rank of the replica group counts
  GradientReducer* reducer = nullptr;
  int reducer_unit = 0;
};

class OwnedParameters {
 public:
  // Units that train; empty ranges are left out. is_cut: each rank of the shard axis owns a part of
  // them. place: of the moments. All referred to must outlive it. Collective over the tensor group.
  OwnedParameters(Mesh& mesh, const ParameterSet& set, ParameterStore& store,
                  const std::vector<TrainedUnit>& units, const config::Train& train,
                  std::int64_t seed, bool is_cut, MomentPlace place,
                  const Stream& stream = Stream());
  ~OwnedParameters();
  OwnedParameters(const OwnedParameters&) = delete;
  OwnedParameters& operator=(const OwnedParameters&) = delete;

  // Gradients of tensors that several ranks of the tensor group hold are parts of a sum: makes the
  // sums, in fixed order. After the reducers have finished. Collective over the tensor group.
  void sum_over_copies();
  // Squares of the share of the gradient; of tensors held by several ranks one counts.
  void add_squares(GradientNorm& norm) const;
  // Of the ranges that add_squares adds.
  [[nodiscard]] std::int64_t largest_range() const noexcept;
  // scale_of: how far each tensor moves.
  using ScaleOf = std::function<StepScale(int tensor)>;
  // Collective over shard and tensor where the rule takes tensors whole.
  void update(const Stream& stream, const UpdateStep& step, const ScaleOf& scale_of);

  // State (in full) of a tensor's element i becomes that of element from(tensor)[i], none where
  // that is -1. Collective over shard: its ranks hold the ranges of each unit.
  using MovedFrom = std::function<std::span<const std::int64_t>(int tensor)>;
  void carry_over(Group& shard, const MovedFrom& from);

  // What is updated, densely in one block of this many bytes.
  [[nodiscard]] std::size_t size_bytes() const noexcept { return size_bytes_; }
  void copy_values(void* to) const;  // both in the memory of the stream's device
  void set_values(const void* from);
  // mean += part (values - mean), in a block as above.
  void mix_into(const Stream& stream, void* mean, double part) const;
  [[nodiscard]] std::size_t packed_bytes() const noexcept;  // sums over copies, to be sent
  // With what the rule works on.
  [[nodiscard]] std::size_t moment_bytes() const noexcept {
    std::size_t kept = 0;
    for (const WholeState& state : whole_states_) {
      kept += state.view.size_bytes();
    }
    return moments_->memory_bytes() + kept + whole_.size_bytes() + rule_->scratch_bytes();
  }

  // As pieces of group/<tensor>, all that is owned or this rank's share of it: the values
  // themselves, their gradients, or another block, dense as above.
  enum class Extent { kOwned, kShare };
  [[nodiscard]] std::vector<CheckpointTensor> value_tensors(const std::string& group,
                                                            Extent extent) const;
  [[nodiscard]] std::vector<CheckpointTensor> gradient_tensors(const std::string& group,
                                                               Extent extent) const;
  [[nodiscard]] std::vector<CheckpointTensor> tensors_in(const std::string& group, void* block,
                                                         Extent extent) const;
  // The moments, below group/<slot>; to be followed by have_read or have_written.
  [[nodiscard]] std::vector<CheckpointTensor> moment_tensors(const std::string& group,
                                                             Extent extent, Moments::For purpose);
  void have_read() { moments_->pack(); }
  void have_written() { moments_->drop(); }

 private:
  // A tensor's part of an owned range.
  struct Part {
    int tensor = 0;
    int unit = 0;  // index into units_
    UnitRange range;
    bool is_counted = true;  // no earlier rank of the tensor group holds it
    int copies = 1;
  };
  struct Copies {
    std::unique_ptr<Group> own_group;  // of the ranks that share a part; null: the tensor group
    Group* group = nullptr;
    std::vector<const Part*> parts;
    AlignedBuffer packed;
    std::int64_t num_elements = 0;
  };
  using View = std::function<TensorView(int unit, const UnitRange& range)>;
  [[nodiscard]] std::vector<CheckpointTensor> tensors(const std::string& group, Extent extent,
                                                      const View& view) const;
  void list_parts();
  void carry_over_slot(Group& shard, int tensor, std::size_t slot,
                       std::span<const std::int64_t> origins);
  void make_whole_states();
  void add_whole_states(const std::string& group, Extent extent,
                        std::vector<CheckpointTensor>& tensors) const;
  [[nodiscard]] UpdateRange range_of_part(std::size_t index, std::int64_t step) const;
  void carry_out(const Stream& stream, std::span<const UpdateRange> ranges,
                 const UpdateStep& step) const;
  [[nodiscard]] bool takes_whole(int tensor) const {
    return rule_->takes_whole(set_->tensor(tensor));
  }
  void update_whole(const Stream& stream, const UpdateStep& step, int tensor,
                    const StepScale& scale);
  void update_by_row(const Stream& stream, const UpdateStep& step, const UpdateRange& range,
                     const Part& part, const StepScale& scale);
  [[nodiscard]] std::vector<MomentPart> moment_parts() const;
  void make_copies(Mesh& mesh);
  [[nodiscard]] TensorView gradient(int unit, const UnitRange& range) const;
  [[nodiscard]] TensorView value(int unit, const UnitRange& range) const;
  [[nodiscard]] std::int64_t dense_index(int unit, const UnitRange& range) const;
  [[nodiscard]] TensorView dense(void* block, DType dtype, int unit, const UnitRange& range) const;

  const ParameterSet* set_;
  ParameterStore* store_;
  Stream stream_;
  std::vector<TrainedUnit> units_;
  std::vector<std::int64_t> offsets_;  // of each unit in the dense block
  std::vector<Part> parts_;
  std::vector<Copies> copies_;
  std::size_t element_bytes_;
  std::size_t size_bytes_ = 0;
  std::unique_ptr<Moments> moments_;
  std::unique_ptr<UpdateRule> rule_;
  std::vector<UpdateRange> updates_;  // reused
  AlignedBuffer before_;              // values in front of a step whose rows are scaled
  Mesh* mesh_;
  bool is_cut_;             // over the shard axis
  bool any_whole_ = false;  // tensors that the rule takes whole
  std::vector<int> trained_units_;
  AlignedBuffer whole_;
  struct WholeState {  // of a tensor, one of the rule's whole_slots
    int tensor;
    std::string name;
    AlignedBuffer memory;
    TensorView view;
  };
  std::vector<WholeState> whole_states_;
};

}  // namespace finescale
