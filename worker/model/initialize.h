// SPDX-License-Identifier: Apache-2.0
// Fresh values of logical tensors, any part of them: the value of an element depends on the seed,
// the tensor's name and the element's place in the whole tensor, so every cut gives the same model.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "sharding/layout.h"
#include "worker/model/model_layout.h"

namespace finescale {

// Contiguous runs of a hyperslab, in order: `count` elements from `logical` on in the whole tensor
// are those from `local` on in the part.
using RunBody = std::function<void(std::int64_t logical, std::int64_t local, std::int64_t count)>;
void for_each_run(const Shape& whole, const LocalPart& part, const RunBody& body);

// Counter of the random numbers of a tensor.
[[nodiscard]] std::uint64_t name_stream(const std::string& name);

// Matrices normal(0, initializer_range), biases 0, norms so that they multiply by 1. out: the part,
// dense.
void initialize_tensor(const DecoderShape& model, std::int64_t seed, const LogicalTensor& tensor,
                       const LocalPart& part, const TensorView& out);

// Every tensor of the set, which must have been allocated.
void initialize_weights(const ModelLayout& layout, std::int64_t seed, ParameterSet& weights);

}  // namespace finescale
