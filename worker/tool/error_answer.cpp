// SPDX-License-Identifier: Apache-2.0
#include "worker/tool/error_answer.h"

#include <nlohmann/json.hpp>

namespace finescale {

std::string error_answer(const Error& error) {
  return nlohmann::json{{"error",
                         {{"kind", error_kind_name(error.kind())},
                          {"message", error.message()},
                          {"where", error.where()},
                          {"hint", error.hint()}}}}
      .dump();
}

}  // namespace finescale
