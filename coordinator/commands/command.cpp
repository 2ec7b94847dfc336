// SPDX-License-Identifier: Apache-2.0
#include "coordinator/commands/command.h"

#include <filesystem>

#include "core/error.h"
#include "core/files.h"

namespace finescale {

void add_settings(CLI::App& command, std::vector<std::string>& settings) {
  command.add_option("--set", settings, "PATH=VALUE: override a field of the file; repeatable")
      ->type_size(1)
      ->allow_extra_args(false);
}

std::vector<Override> to_overrides(const std::vector<std::string>& settings) {
  std::vector<Override> overrides;
  overrides.reserve(settings.size());
  for (const std::string& setting : settings) {
    overrides.push_back(parse_override(setting));
  }
  return overrides;
}

std::string campaign_directory(const std::string& given) {
  if (!given.empty()) {
    return given;
  }
  std::vector<std::string> found;
  std::error_code code;
  for (const auto& entry : std::filesystem::directory_iterator("runs", code)) {
    if (path_exists(entry.path() / "store.sqlite")) {
      found.push_back(entry.path().string());
    }
  }
  if (found.size() == 1) {
    return found.front();
  }
  std::string hint;
  for (const std::string& path : found) {
    hint += (hint.empty() ? "there are: " : ", ") + path;
  }
  throw Error(ErrorKind::kConfig, "give the campaign directory", {},
              hint.empty() ? "none was found below runs/" : hint);
}

}  // namespace finescale
