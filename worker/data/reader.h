// SPDX-License-Identifier: Apache-2.0
// The files of a dataset, the problems of its task, or what a recipe makes, as raw examples, in
// order. A record that is
// none is an error at file:line, or counted and passed over.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "configs/schema/stage.pb.h"
#include "worker/data/raw_example.h"
#include "worker/data/recipe.h"

namespace finescale {

struct ReadSummary {
  FormCounts forms{};
  std::int64_t skipped = 0;
  std::string first_bad;  // where and why, of the first one skipped
  std::string formats;    // "JSONL" or "JSONL, CSV"
};

// Calls take(example, where) for every example, `where` = file:line or task name:index. Applies
// on_bad_example and limit; `take` may throw BadExample too. Throws kData; kResource for a format
// that this build cannot read.
ReadSummary read_examples(
    const config::DatasetRef& ref, config::OnBadExample on_bad,
    const std::function<void(RawExample&& example, const std::string& where)>& take);

// Files or a task as rows with all their columns, whatever their form; a limit holds.
[[nodiscard]] RecipeRows read_rows(const config::DatasetRef& ref, config::OnBadExample on_bad);

}  // namespace finescale
