// SPDX-License-Identifier: Apache-2.0
#include "coordinator/current_status.h"

#include <chrono>
#include <filesystem>
#include <system_error>

#include <nlohmann/json.hpp>

#include "comm/rpc/address.h"
#include "comm/rpc/endpoint.h"
#include "core/error.h"
#include "core/files.h"
#include "core/host_name.h"

namespace finescale {

namespace {

// A live coordinator publishes every second; another machine may see that late.
constexpr double kFreshSeconds = 60;

bool is_fresh(const std::string& path) {
  std::error_code code;
  const auto written = std::filesystem::last_write_time(path, code);
  const std::chrono::duration<double> age = std::filesystem::file_time_type::clock::now() - written;
  return !code && age.count() < kFreshSeconds;
}

}  // namespace

std::string current_status(const std::string& directory) {
  const auto address = read_address(directory);
  const bool is_elsewhere = address && address->machine != host_name();
  if (address && (!is_elsewhere || !is_loopback(address->host))) {
    try {
      CoordinatorClient client(*address);
      proto::ControlRequest request;
      request.set_token(address->token);
      request.set_command("status");
      return client.control(request, 5).json();
    } catch (const Error&) {
      // Dead: its snapshot follows.
    }
  }
  nlohmann::json snapshot;
  try {
    snapshot = nlohmann::json::parse(read_file(directory + "/status.json"));
  } catch (const std::exception&) {
    throw Error(ErrorKind::kConfig, "no campaign is here, or it published nothing yet", directory,
                "give the output directory of a sweep");
  }
  if (snapshot["state"] == "running" && !(is_elsewhere && is_fresh(directory + "/status.json"))) {
    snapshot["state"] = is_elsewhere ? "unknown" : "interrupted";
    snapshot["gangs"] = nlohmann::json::array();
    snapshot["eta_s"] = nullptr;
    snapshot["tokens_per_second"] = 0.0;
  }
  return snapshot.dump(1);
}

}  // namespace finescale
