// SPDX-License-Identifier: Apache-2.0
// A model's logical tensors as those of a GGUF file: other names, packed projections, rows of q and
// k in the order of interleaved rotation.
#pragma once

#include <vector>

#include "checkpoint/formats/gguf_writer.h"
#include "configs/schema/model.pb.h"
#include "worker/import/weight_source.h"

namespace finescale {

// Values are read from `weights`, which must live, when the file asks for them.
[[nodiscard]] std::vector<GgufSource> gguf_tensors(const config::ModelConfig& config, GgufType type,
                                                   WeightSource& weights);

}  // namespace finescale
