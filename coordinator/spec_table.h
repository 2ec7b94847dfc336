// SPDX-License-Identifier: Apache-2.0
// What many stages are, in little memory: packed, unpacked when asked for. A sweep of 100,000
// trials has some 300,000 of them, of 3 KB each as messages.
#pragma once

#include <cstddef>
#include <string>
#include <unordered_map>

#include "configs/schema/stage.pb.h"

namespace finescale {

class SpecTable {
 public:
  // By its key; takes the place of what was there.
  void put(const config::StageSpec& spec);
  // Unpacked anew at every call. The key must be there and not released.
  [[nodiscard]] config::StageSpec at(const std::string& key) const;
  [[nodiscard]] bool contains(const std::string& key) const { return stages_.contains(key); }
  [[nodiscard]] std::size_t size() const noexcept { return stages_.size(); }
  // The trunk that it starts from, or "". Also of a released one, as is its work (stage_work.h).
  [[nodiscard]] const std::string& start(const std::string& key) const {
    return stages_.at(key).start;
  }
  [[nodiscard]] double work_until_end(const std::string& key) const { return stages_.at(key).work; }
  // Somebody else has the text now.
  void release(const std::string& key);

 private:
  struct Packed {
    std::string bytes;
    std::string start;
    double work = 0;
  };
  std::unordered_map<std::string, Packed> stages_;
};

}  // namespace finescale
