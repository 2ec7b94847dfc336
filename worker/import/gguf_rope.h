// SPDX-License-Identifier: Apache-2.0
// Stretched rotary frequencies in GGUF files: a factor among the keys, or a tensor of divisors.
#pragma once

#include <string>
#include <vector>

#include "checkpoint/formats/gguf.h"
#include "configs/schema/model.pb.h"

namespace finescale {

inline constexpr const char* kGgufRopeFactors = "rope_freqs.weight";

// Sets rope_scaling of the family that is set; its other fields are there already. Divisors that
// are those of Llama 3.1 become its four numbers again.
void read_gguf_rope(const GgufFile& file, const std::string& architecture,
                    config::ModelConfig& config);
// Divisor of each frequency, [rotary_dim / 2]; empty when none is stretched or one factor does it.
[[nodiscard]] std::vector<float> gguf_rope_factors(const config::ModelConfig& config);

}  // namespace finescale
