// SPDX-License-Identifier: Apache-2.0
// Examples between stages: a JSONL file that any stage, and any other program, can read.
#pragma once

#include <string>
#include <vector>

#include "configs/schema/stage.pb.h"
#include "worker/data/raw_example.h"

namespace finescale {

// The examples of a dataset before any tokenizer, without what eval_fraction holds out of a pool.
// Throws kData when there is none.
[[nodiscard]] std::vector<RawExample> read_raw_examples(const config::DatasetRef& ref,
                                                        const config::DataRules& rules);

// As data.jsonl holds it; bytes that are no UTF-8 become U+FFFD.
[[nodiscard]] std::string example_line(const RawExample& example);
// Durable and whole, or not there.
void write_examples(const std::string& path, const std::vector<RawExample>& examples);

}  // namespace finescale
