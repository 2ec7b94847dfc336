// SPDX-License-Identifier: Apache-2.0
// Data that stages of a plan will leave, guessed from what they read: for predictions only.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "configs/schema/stage.pb.h"
#include "worker/data/dataset.h"

namespace finescale {

// What the stage reads; it is one that leaves data.
[[nodiscard]] const config::DatasetRef& data_read_by(const config::StageSpec& stage);

// Answers as long as the responses, and of what a choice depends on, as many as there can be.
[[nodiscard]] std::vector<Example> guessed_data(const config::StageSpec& stage,
                                                const Dataset& source);

// Whether the data are made of what stages leave.
[[nodiscard]] bool reads_artifact(const config::DatasetRef& ref);
// The examples of its sources as they are, as many as operators that say a number leave.
[[nodiscard]] std::vector<Example> guessed_mixture(
    const config::DatasetRef& ref,
    const std::function<const Dataset&(const config::DatasetRef& input)>& dataset);

[[nodiscard]] double tokens_of(const Dataset& data);
// The first 64 prompts of a set, and how many will be asked.
[[nodiscard]] std::vector<std::vector<std::int32_t>> first_prompts(const Dataset& data,
                                                                   const config::Evaluate& evaluate,
                                                                   std::int64_t* asked);

}  // namespace finescale
