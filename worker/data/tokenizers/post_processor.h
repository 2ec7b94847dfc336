// SPDX-License-Identifier: Apache-2.0
// What is put around the ids of one or two texts: BOS, [CLS] a [SEP] b [SEP]. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "worker/data/tokenizers/json_node.h"

namespace finescale {

class PostProcessor {
 public:
  // No node: nothing is added.
  explicit PostProcessor(const JsonNode* node);
  // `texts`: the ids of one or two texts.
  [[nodiscard]] std::vector<std::int32_t> apply(
      const std::vector<std::vector<std::int32_t>>& texts) const;

 private:
  struct Part {
    int text = -1;                  // 0 or 1: the ids of that text
    std::vector<std::int32_t> ids;  // or these
  };
  struct Step {
    std::vector<Part> single;
    std::vector<Part> pair;
  };
  void add_steps(const JsonNode& node);
  static std::vector<Part> read_template(const JsonNode& node, const JsonNode& special, int texts);
  static Part read_token(const JsonNode& node);

  std::vector<Step> steps_;
};

}  // namespace finescale
