// SPDX-License-Identifier: Apache-2.0
// Words that prove who is calling.
#pragma once

#include <string>
#include <string_view>

namespace finescale {

// 32 hexadecimal digits from the operating system's entropy: a secret, not an experiment.
[[nodiscard]] std::string random_token();
// Takes the same time wherever words of one length differ.
[[nodiscard]] bool is_same_secret(std::string_view a, std::string_view b) noexcept;

}  // namespace finescale
