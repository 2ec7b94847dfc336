// SPDX-License-Identifier: Apache-2.0
#include "worker/data/example_file.h"

#include <utility>

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/files.h"
#include "worker/data/dataset.h"
#include "worker/data/reader.h"

namespace finescale {

std::vector<RawExample> read_raw_examples(const config::DatasetRef& ref,
                                          const config::DataRules& rules) {
  std::vector<RawExample> all;
  (void)read_examples(
      ref, rules.on_bad_example(),
      [&all](RawExample&& example, const std::string&) { all.push_back(std::move(example)); });
  if (rules.eval_fraction() > 0 && ref.name().empty()) {
    std::vector<RawExample> kept;
    for (const std::int64_t place : part_of(std::ssize(all), rules.eval_fraction(), false)) {
      kept.push_back(std::move(all[static_cast<std::size_t>(place)]));
    }
    all = std::move(kept);
  }
  if (all.empty()) {
    throw Error(ErrorKind::kData, "there are no examples", dataset_source(ref));
  }
  return all;
}

std::string example_line(const RawExample& example) {
  return row_of(example).dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

void write_examples(const std::string& path, const std::vector<RawExample>& examples) {
  std::string text;
  for (const RawExample& example : examples) {
    text += example_line(example) + "\n";
  }
  write_file_atomically(path, text);
}

}  // namespace finescale
