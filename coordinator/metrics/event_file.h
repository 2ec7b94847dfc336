// SPDX-License-Identifier: Apache-2.0
// Event files of TensorBoard: records of protobuf messages (tensorflow.Event) with masked CRC-32C
// of their lengths and contents.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace finescale {

class EventFile {
 public:
  // `wall_time`: Unix seconds.
  explicit EventFile(double wall_time);
  void add_scalar(double wall_time, std::int64_t step, std::string_view tag, double value);
  // The whole file so far.
  [[nodiscard]] const std::string& bytes() const noexcept { return bytes_; }

 private:
  void add_record(std::string_view event);

  std::string bytes_;
};

}  // namespace finescale
