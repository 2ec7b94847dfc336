// SPDX-License-Identifier: Apache-2.0
// Lines of the data files: how many there are, and which occur both in the pool and in an
// evaluation file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "configs/schema/data.pb.h"

namespace finescale {

[[nodiscard]] bool is_readable(const std::string& path);

// Lines that are not blank: one example each.
[[nodiscard]] std::int64_t count_examples(const std::string& path);
// Whether the first line is a preference; nothing where it is no example: data may skip it, or
// operators make one of it.
[[nodiscard]] std::optional<bool> begins_with_pair(const std::string& path);

struct Overlap {
  std::string set;
  std::int64_t lines = 0;  // of the evaluation set that the pool holds too, letter for letter
  std::string first;       // file:line in the evaluation set
};
// One entry for each evaluation set that has files. Reads every file once.
[[nodiscard]] std::vector<Overlap> find_overlap(const config::Data& data);

[[nodiscard]] std::string describe(const Overlap& overlap);

}  // namespace finescale
