// SPDX-License-Identifier: Apache-2.0
#include "core/log.h"

#include <cstdlib>
#include <vector>

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/null_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

namespace finescale {

std::shared_ptr<Logger> make_logger(const LogOptions& options) {
  std::vector<spdlog::sink_ptr> sinks;
  if (options.to_stderr) {
    auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    sink->set_pattern("%v");
    sinks.push_back(std::move(sink));
  }
  if (!options.file.empty()) {
    auto sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(options.file);
    sink->set_pattern("%Y-%m-%dT%H:%M:%S.%e %l %n: %v");
    sinks.push_back(std::move(sink));
  }
  auto logger = std::make_shared<Logger>(options.name, sinks.begin(), sinks.end());
  const char* level = std::getenv("FINESCALE_LOG");
  logger->set_level(spdlog::level::from_str(level != nullptr ? level : options.level));
  logger->flush_on(spdlog::level::info);
  return logger;
}

std::shared_ptr<Logger> make_null_logger() {
  return std::make_shared<Logger>("null", std::make_shared<spdlog::sinks::null_sink_mt>());
}

}  // namespace finescale
