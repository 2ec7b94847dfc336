// SPDX-License-Identifier: Apache-2.0
#include "coordinator/check_model.h"

#include <nlohmann/json.hpp>

#include "coordinator/worker_tool.h"

namespace finescale {

void check_base_model(const config::Sweep& sweep) {
  if (!sweep.base().has_model()) {
    return;
  }
  (void)ask_worker_tool("model", nlohmann::json{{"path", sweep.base().model()},
                                                {"adapter", sweep.base().adapter()},
                                                {"max_length", sweep.data().max_length()},
                                                {"response_end", sweep.data().response_end()},
                                                {"prompt_end", sweep.data().prompt_end()}}
                                     .dump());
}

}  // namespace finescale
