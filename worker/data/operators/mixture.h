// SPDX-License-Identifier: Apache-2.0
// Several datasets as one. Pure, as operators are.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "configs/schema/operators.pb.h"
#include "worker/data/operators/row.h"

namespace finescale {

// `parts`: rows of the parts in the order of the mixture, then those of its replay. Throws kConfig
// at `where` when a part has too few.
[[nodiscard]] std::vector<Row> mixed(const config::Mixture& mixture,
                                     const std::vector<std::vector<Row>>& parts, std::uint64_t seed,
                                     const std::string& where);

// Of separate streams, those of the replay last.
[[nodiscard]] std::vector<double> stream_ratios(const config::Mixture& mixture);

}  // namespace finescale
