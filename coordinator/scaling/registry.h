// SPDX-License-Identifier: Apache-2.0
// One make_ function per form; registry.cpp lists them in the order of the reference.
#pragma once

#include <memory>

#include "coordinator/scaling/law.h"

namespace finescale {

[[nodiscard]] std::unique_ptr<Law> make_power_law();
[[nodiscard]] std::unique_ptr<Law> make_power_offset_law();
[[nodiscard]] std::unique_ptr<Law> make_rectified_law();
[[nodiscard]] std::unique_ptr<Law> make_additive_law();
[[nodiscard]] std::unique_ptr<Law> make_multiplicative_law();
[[nodiscard]] std::unique_ptr<Law> make_joint_rectified_law();
[[nodiscard]] std::unique_ptr<Law> make_data_constrained_law();
[[nodiscard]] std::unique_ptr<Law> make_constant_law();
[[nodiscard]] std::unique_ptr<Law> make_exponential_law();
[[nodiscard]] std::unique_ptr<Law> make_logarithmic_law();

}  // namespace finescale
