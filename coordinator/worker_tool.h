// SPDX-License-Identifier: Apache-2.0
// What the coordinator asks the worker program without starting a gang (docs/tool_protocol.md).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "configs/schema/sweep.pb.h"
#include "coordinator/plan.h"

namespace finescale {

// finescale-worker tool NAME: request document -> answer document. Throws the tool's own error.
[[nodiscard]] std::string ask_worker_tool(const std::string& name, const std::string& request);

struct CheckedData {
  std::vector<std::string> found;  // "<file>: 2000 of {prompt, response} from JSONL", each once
  std::int64_t pool_examples = 0;  // of data.train
};
// Throws kData when a record of the sweep's data is no example, or a file has none.
[[nodiscard]] CheckedData check_data(const config::Sweep& sweep);
// Throws kConfig when a stage's budget is above the pool: files whose lines are no examples are
// counted by reading them.
void check_budgets(const Plan& plan, const config::Sweep& sweep, const CheckedData& data);

}  // namespace finescale
