// SPDX-License-Identifier: Apache-2.0
// Axis values set in copies of one sweep, the YAML of each value read once: a plan sets the same
// few values in many thousand trials.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "configs/schema/sweep.pb.h"

namespace finescale {

class PointSetter {
 public:
  explicit PointSetter(config::Sweep sweep) : sweep_(std::move(sweep)) {}

  // What apply_values makes of them.
  [[nodiscard]] config::Sweep at(const std::map<std::string, std::string>& values,
                                 const std::string& where);
  [[nodiscard]] const config::Sweep& sweep() const noexcept { return sweep_; }

 private:
  using Message = google::protobuf::Message;

  [[nodiscard]] const Message& parsed(const std::string& path, const std::string& value,
                                      const std::string& where);

  config::Sweep sweep_;
  std::map<std::string, std::map<std::string, std::unique_ptr<Message>>> parsed_;  // path, value
};

}  // namespace finescale
