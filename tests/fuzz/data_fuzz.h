// SPDX-License-Identifier: Apache-2.0
// What the fuzzers of data files share: records to examples to tokens, with bad ones refused and
// with bad ones passed over.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace finescale {

// `name` tells the format by its end.
void read_data_file(const std::string& name, const std::uint8_t* data, std::size_t size);

}  // namespace finescale
