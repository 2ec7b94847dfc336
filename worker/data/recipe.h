// SPDX-License-Identifier: Apache-2.0
// Datasets that are made of others: leaves are read, mixed and changed, in memory. The same rows on
// every rank, whatever reads them.
#pragma once

#include <string>
#include <vector>

#include "configs/schema/stage.pb.h"
#include "worker/data/operators/row.h"

namespace finescale {

// Whether the reference is such a dataset; else it is files or a task.
[[nodiscard]] bool is_recipe(const config::DatasetRef& ref);

struct RecipeRows {
  std::vector<Row> rows;
  std::string story;         // "JSONL 2000, filter 1800, sample 500": examples behind each
  std::int64_t skipped = 0;  // records that are none
  std::string first_bad;
};
// Throws kData and kConfig at the place in the sweep file that the reference names.
[[nodiscard]] RecipeRows make_rows(const config::DatasetRef& ref, config::OnBadExample on_bad);

}  // namespace finescale
