// SPDX-License-Identifier: Apache-2.0
// What `finescale init` writes: a commented sweep that runs as it is, and small data for it.
#pragma once

#include <string>
#include <vector>

namespace finescale {

struct InitFile {
  std::string name;  // relative to the directory: sweep.yaml, data/train.jsonl
  std::string text;
};
[[nodiscard]] std::vector<InitFile> init_files(int gangs);

[[nodiscard]] std::string init_sweep(int gangs);  // sweep.yaml

// JSONL of a procedural task: words and what a simple cipher makes of them. Example i is the same
// on every machine and its word is no other example's, so disjoint ranges are disjoint data.
// first + count must be at most 9800.
[[nodiscard]] std::string init_data(int first, int count, bool as_text);

}  // namespace finescale
