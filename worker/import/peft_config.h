// SPDX-License-Identifier: Apache-2.0
// adapter_config.json: what of it matters, and a refusal of what is not supported.
#pragma once

#include <map>
#include <string>

namespace finescale {

struct PeftConfig {
  std::string path;
  std::string base_model;
  bool is_ia3 = false;
  bool is_dora = false;
  bool is_vera = false;
  bool is_prompt = false;           // prompt tuning
  bool is_prefix = false;           // prefix tuning
  bool is_rank_stabilised = false;  // scale alpha / sqrt(r) instead of alpha / r
  int rank = 8;
  double alpha = 8;
  std::map<std::string, int> rank_pattern;      // of modules whose names end so
  std::map<std::string, double> alpha_pattern;  // likewise

  // Rank and scale of the module with this name in the files.
  struct Scaled {
    int rank;
    double scale;
  };
  [[nodiscard]] Scaled of_module(const std::string& module) const;
};

// Throws kConfig naming the key.
[[nodiscard]] PeftConfig read_peft_config(const std::string& path);

}  // namespace finescale
