// SPDX-License-Identifier: Apache-2.0
#include "configs/data_format.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>
#include <utility>

namespace finescale {

config::DataFormat data_format(const std::string& path, config::DataFormat given) {
  if (given != config::DATA_FORMAT_AUTO) {
    return given;
  }
  static constexpr std::array<std::pair<std::string_view, config::DataFormat>, 6> kKnown = {
      {{".json", config::DATA_FORMAT_JSON},
       {".csv", config::DATA_FORMAT_CSV},
       {".txt", config::DATA_FORMAT_TEXT},
       {".md", config::DATA_FORMAT_TEXT},
       {".parquet", config::DATA_FORMAT_PARQUET},
       {".jsonl", config::DATA_FORMAT_JSONL}}};
  std::string extension = std::filesystem::path(path).extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(), [](unsigned char c) {
    return static_cast<char>(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
  });
  const auto found = std::find_if(kKnown.begin(), kKnown.end(),
                                  [&](const auto& known) { return known.first == extension; });
  return found == kKnown.end() ? config::DATA_FORMAT_JSONL : found->second;
}

}  // namespace finescale
