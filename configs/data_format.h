// SPDX-License-Identifier: Apache-2.0
// Which format a data file has: the one that is given, else what its name says.
#pragma once

#include <string>

#include "configs/schema/data.pb.h"

namespace finescale {

// Never auto. .json, .csv, .parquet, .txt and .md say what they are; anything else is JSONL.
[[nodiscard]] config::DataFormat data_format(const std::string& path, config::DataFormat given);

}  // namespace finescale
