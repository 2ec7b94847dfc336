// SPDX-License-Identifier: Apache-2.0
// The style sheet of the report: light, dark and print, and the classes of the pictures.
#pragma once

#include <string>

namespace finescale {

[[nodiscard]] const std::string& report_style();

}  // namespace finescale
