// SPDX-License-Identifier: Apache-2.0
// An error as a document: {"error": {"kind", "message", "where", "hint"}}.
#pragma once

#include <string>

#include "core/error.h"

namespace finescale {

[[nodiscard]] std::string error_answer(const Error& error);

}  // namespace finescale
