// SPDX-License-Identifier: Apache-2.0
#include "worker/tool/error_answer.h"

#include <nlohmann/json.hpp>

namespace finescale {

// Messages quote what users' files say, which need not be UTF-8.
std::string error_answer(const Error& error) {
  using Handler = nlohmann::json::error_handler_t;
  return nlohmann::json{{"error",
                         {{"kind", error_kind_name(error.kind())},
                          {"message", error.message()},
                          {"where", error.where()},
                          {"hint", error.hint()}}}}
      .dump(-1, ' ', false, Handler::replace);
}

}  // namespace finescale
