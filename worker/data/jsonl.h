// SPDX-License-Identifier: Apache-2.0
// Lines of a JSONL file as raw examples. A line that is not one is an error at file:line that says
// what was found.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "configs/schema/stage.pb.h"

namespace finescale {

struct RawExample {
  bool is_text = false;  // {"text"}: everything is learnt; else prompt and response
  std::string prompt;
  std::string response;  // or the text
};

// Calls `take(example, where)` for every example of the dataset's files in order, `where` =
// file:line. Applies on_bad_example and limit; returns the number of skipped lines. Blank lines are
// not examples. Throws kData.
std::int64_t read_jsonl(const config::DatasetRef& ref, config::OnBadExample on_bad,
                        const std::function<void(RawExample&&, const std::string& where)>& take);

}  // namespace finescale
