// SPDX-License-Identifier: Apache-2.0
// Loggers are passed, never global. Human text goes to stderr; a gang's file gets the same lines
// with time and rank.
#pragma once

#include <memory>
#include <string>

#include <spdlog/logger.h>

namespace finescale {

using Logger = spdlog::logger;

struct LogOptions {
  std::string name = "finescale";
  std::string file;  // empty: none
  bool to_stderr = true;
  std::string level = "info";  // FINESCALE_LOG overrides
};
// shared_ptr because spdlog's sinks are shared by their own design.
[[nodiscard]] std::shared_ptr<Logger> make_logger(const LogOptions& options);
[[nodiscard]] std::shared_ptr<Logger> make_null_logger();

}  // namespace finescale
