// SPDX-License-Identifier: Apache-2.0
// The examples of a task's dataset: different problems of its part, in an order that seed and
// settings alone decide; a larger number of examples begins with a smaller one.
#pragma once

#include <functional>
#include <string>

#include "configs/schema/task.pb.h"
#include "worker/data/raw_example.h"

namespace finescale {

// Which part a problem belongs to: a matter of its split text alone, so two datasets of different
// parts share none, whatever their seeds and settings.
[[nodiscard]] config::TaskPart part_of_split(const std::string& split);

// Calls take(example, index from 1) until it has `examples` of them or take says enough (false).
// Throws kConfig, at `where` of the sweep file, when the task has fewer different problems than
// that.
void draw_examples(const config::Task& config, const std::string& where,
                   const std::function<bool(RawExample&& example, std::int64_t index)>& take);

}  // namespace finescale
