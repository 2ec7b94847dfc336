// SPDX-License-Identifier: Apache-2.0
// What the coordinator asks the worker program without starting a gang (docs/tool_protocol.md).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "configs/schema/sweep.pb.h"
#include "coordinator/plan.h"
#include "core/error.h"

namespace finescale {

// finescale-worker tool NAME: request document -> answer document. Throws the tool's own error.
[[nodiscard]] std::string ask_worker_tool(const std::string& name, const std::string& request);

struct CheckedData {
  std::vector<std::string> found;  // "<file>: 2000 of {prompt, response} from JSONL", each once
  std::int64_t pool_examples = 0;  // of data.train
};
// Throws kData when a record of the sweep's data is no example, or a file has none.
// What is wrong of the sweep file `sweep_file` itself is said at its place there.
[[nodiscard]] CheckedData check_data(const config::Sweep& sweep, const std::string& sweep_file);
// Throws kConfig when a stage's budget is above the pool: files whose lines are no examples are
// counted by reading them.
void check_budgets(const Plan& plan, const config::Sweep& sweep, const CheckedData& data,
                   const std::string& sweep_file);

// An error at a field of the sweep file, "data.sets.x.apply[1].top:example 3", as one at its line
// and column, or those of what holds it; others as they are.
[[nodiscard]] Error at_written_place(const Error& error, const std::string& sweep_file);
// Where the sweep file says how many examples a stage takes: its axis, else the field of the stage.
[[nodiscard]] std::string written_field(const config::Sweep& sweep, const std::string& stage,
                                        const std::string& field);

}  // namespace finescale
