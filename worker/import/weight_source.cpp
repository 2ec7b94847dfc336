// SPDX-License-Identifier: Apache-2.0
#include "worker/import/weight_source.h"

#include <utility>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "comm/group.h"
#include "configs/canonical.h"
#include "core/error.h"

namespace finescale {

namespace {

class CheckpointSource final : public WeightSource {
 public:
  explicit CheckpointSource(const std::string& path)
      : group_(make_single_group()), reader_(*group_, path) {
    if (!reader_.state().base_key.empty()) {
      throw Error(ErrorKind::kConfig, "the checkpoint holds an adapter, not weights", path,
                  "start from full weights: finescale export DIR TRIAL --format hdf5 --merge");
    }
    parse_canonical(reader_.state().model_text, config_);
    for (LogicalTensor& tensor : reader_.tensors("/model")) {
      shapes_.emplace(tensor.name, tensor.shape);
    }
  }

  [[nodiscard]] const config::ModelConfig& config() const override { return config_; }

  void read(const std::string& name, const LocalPart& slab, const TensorView& out) override {
    CheckpointTensor wanted;
    wanted.path = "/model/" + name;
    const auto found = shapes_.find(name);
    if (found == shapes_.end()) {
      throw Error(ErrorKind::kCheckpoint, "the checkpoint has no tensor " + wanted.path);
    }
    wanted.shape = found->second;
    wanted.part = slab;
    wanted.local = TensorView(out.data, out.dtype, slab.shape);
    wanted.writes = false;
    reader_.read({wanted});
  }

 private:
  std::unique_ptr<Group> group_;
  CheckpointReader reader_;
  config::ModelConfig config_;
  std::map<std::string, Shape> shapes_;
};

}  // namespace

std::unique_ptr<WeightSource> make_checkpoint_source(const std::string& path) {
  return std::make_unique<CheckpointSource>(path);
}

void read_base(WeightSource& source, BaseModel& model) {
  fill_base(model, [&source](BasePiece& piece, int index) {
    const std::string& name = piece.weights.tensor(index).name;
    fill_tensor(piece, index, [&](const LocalPart& slab, const TensorView& values) {
      source.read(name, slab, values);
    });
  });
}

}  // namespace finescale
