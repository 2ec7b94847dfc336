// SPDX-License-Identifier: Apache-2.0
#include "comm/rpc/address.h"

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/files.h"

namespace finescale {

void write_address(const std::string& campaign, const CoordinatorAddress& address) {
  nlohmann::json document = {{"host", address.host},   {"port", address.port},
                             {"token", address.token}, {"coordinator_epoch", address.epoch},
                             {"pid", address.pid},     {"machine", address.machine}};
  if (address.tls) {
    document["tls"] = {{"ca", address.tls->authority},
                       {"certificate", address.tls->own.certificate},
                       {"key", address.tls->own.key}};
  }
  write_file_atomically(campaign + "/coordinator.json", document.dump(1) + "\n", 0600);
}

std::optional<CoordinatorAddress> read_address(const std::string& campaign) {
  try {
    const nlohmann::json document =
        nlohmann::json::parse(read_file(campaign + "/coordinator.json"));
    CoordinatorAddress address{document.at("host"),  document.at("port"),
                               document.at("token"), document.at("coordinator_epoch"),
                               document.at("pid"),   document.value("machine", ""),
                               std::nullopt};
    if (document.contains("tls")) {
      const nlohmann::json& tls = document["tls"];
      address.tls = TlsIdentity{tls.at("ca"), {tls.at("certificate"), tls.at("key")}};
    }
    return address;
  } catch (const Error&) {
    return std::nullopt;
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

}  // namespace finescale
