// SPDX-License-Identifier: Apache-2.0
// The logical weights of one model, wherever they lie: files of other programs, a checkpoint, or
// either with an adapter merged into it. Values are read by hyperslab, so a rank reads its part
// alone. One thread uses a source at a time.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "checkpoint/formats/tensor_file.h"
#include "configs/schema/model.pb.h"
#include "configs/tensor_names.h"
#include "sharding/layout.h"
#include "worker/base_model.h"

namespace finescale {

class WeightSource {
 public:
  virtual ~WeightSource() = default;
  WeightSource() = default;
  WeightSource(const WeightSource&) = delete;
  WeightSource& operator=(const WeightSource&) = delete;

  [[nodiscard]] virtual const config::ModelConfig& config() const = 0;
  // The hyperslab of a logical tensor, row-major, into `out` (dense, f32 or f64).
  virtual void read(const std::string& name, const LocalPart& slab, const TensorView& out) = 0;
  // Whether all its values are bf16's, as far as is known without reading them.
  [[nodiscard]] virtual bool is_bf16(const std::string& /*name*/) const { return false; }
};

// Where a logical tensor lies in the files.
using TensorNames = FileTensor (*)(const config::ModelConfig&, const std::string& logical_name);

// Throws kData, naming it, for a tensor that is missing, has another shape than the config says, or
// belongs to no weight of such a model and does not end in one of `ignored`.
[[nodiscard]] std::unique_ptr<WeightSource> make_file_source(
    std::unique_ptr<TensorFile> file, const config::ModelConfig& config, TensorNames names,
    const std::vector<std::string>& ignored);
// Whole weights of a checkpoint, for one rank.
[[nodiscard]] std::unique_ptr<WeightSource> make_checkpoint_source(const std::string& path);

// This rank's part of every weight. Not collective: ranks read by themselves.
void read_base(WeightSource& source, BaseModel& model);

}  // namespace finescale
