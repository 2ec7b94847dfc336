// SPDX-License-Identifier: Apache-2.0
// How a rule complains: at the position of the nearest enclosing field that was written.
#pragma once

#include <algorithm>
#include <cctype>
#include <string>
#include <utility>
#include <vector>

#include "configs/nearest_name.h"
#include "configs/yaml_reader.h"
#include "core/error.h"

namespace finescale {

class RuleReport {
 public:
  RuleReport(std::string file, const Positions& positions)
      : file_(std::move(file)), positions_(positions) {}

  [[noreturn]] void fail(const std::string& path, const std::string& what,
                         const std::string& hint = {}) const {
    for (std::string at = path; !at.empty();) {
      if (const auto found = positions_.find(at); found != positions_.end()) {
        throw Error(ErrorKind::kConfig, what, found->second, hint);
      }
      const std::size_t cut = at.find_last_of(".[");
      at = cut == std::string::npos ? "" : at.substr(0, cut);
    }
    throw Error(ErrorKind::kConfig, what, file_, hint);
  }

  void require(bool ok, const std::string& path, const std::string& what,
               const std::string& hint = {}) const {
    if (!ok) {
      fail(path, what, hint);
    }
  }

  void require_known(const std::vector<std::string>& names, const std::string& name,
                     const std::string& path) const {
    require(std::find(names.begin(), names.end(), name) != names.end(), path,
            path + ": unknown " + name + did_you_mean(name, names), "valid: " + joined(names));
  }

  void require_word(const std::string& text, const std::string& path) const {
    const bool is_word =
        !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
          return std::isalnum(c) != 0 || c == '-' || c == '_';
        });
    require(is_word, path, path + " is \"" + text + "\", must be letters, digits, - and _");
  }

  // Whether the user wrote the field.
  [[nodiscard]] bool is_written(const std::string& path) const { return positions_.contains(path); }
  [[nodiscard]] const std::string& file() const { return file_; }
  [[nodiscard]] const Positions& positions() const { return positions_; }

 private:
  std::string file_;
  const Positions& positions_;
};

}  // namespace finescale
