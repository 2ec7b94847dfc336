// SPDX-License-Identifier: Apache-2.0
// Typed reading of one object of config.json. null counts as absent; every error names the key.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace finescale {

class JsonFields {
 public:
  // Throws kConfig unless `json` is an object. Both must outlive this.
  JsonFields(const nlohmann::json& json, std::string where);

  [[nodiscard]] bool has(const std::string& key) const;
  [[nodiscard]] bool contains(const std::string& key) const { return json_->contains(key); }
  // A whole number >= 1 (or >= least). Without a default the key must be there.
  [[nodiscard]] int whole(const std::string& key, std::optional<int> otherwise = std::nullopt,
                          int least = 1) const;
  [[nodiscard]] double positive(const std::string& key,
                                std::optional<double> otherwise = std::nullopt) const;
  [[nodiscard]] bool flag(const std::string& key, bool otherwise) const;
  [[nodiscard]] std::string text(const std::string& key, const std::string& otherwise) const;
  [[nodiscard]] JsonFields object(const std::string& key) const;
  [[nodiscard]] const nlohmann::json& at(const std::string& key) const { return json_->at(key); }
  [[nodiscard]] const std::string& where() const noexcept { return where_; }

  // "rope_scaling.rope_type is "yarn", which is not supported".
  [[noreturn]] void refuse(const std::string& key, const std::string& hint = {}) const;
  // Refuses a flag that is set.
  void must_be_off(const std::string& key) const;

 private:
  [[noreturn]] void wrong(const std::string& key, const std::string& wanted) const;

  const nlohmann::json* json_;
  std::string where_;
  std::string prefix_;  // "rope_parameters."
};

}  // namespace finescale
