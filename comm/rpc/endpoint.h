// SPDX-License-Identifier: Apache-2.0
// Where a coordinator listens, and by what it and its gangs know each other: on loopback a token is
// enough, anywhere else TLS with the campaign's own authority is demanded of both sides.
#pragma once

#include <optional>
#include <string>

#include "comm/rpc/certificates.h"

namespace finescale {

struct Endpoint {
  std::string host = "127.0.0.1";  // an address
  // Off loopback.
  std::optional<TlsIdentity> server;
  std::optional<TlsIdentity> client;  // of gangs and of the command line
};

// Whether a host, as an address or `localhost`, is only this machine's.
[[nodiscard]] bool is_loopback(const std::string& host);

// The address that `interface` means: an address of this machine, a network interface (ib0), or a
// host name; "" is loopback. Throws kConfig at `resources.interface`.
[[nodiscard]] std::string listening_address(const std::string& interface);

// Throws kConfig when this machine cannot listen there: before anything is written.
void require_listenable(const std::string& interface);

// The authority lies in DIR/tls and is made at the first need; certificates are new at every call.
// Throws kConfig when others may read its key.
[[nodiscard]] Endpoint make_endpoint(const std::string& interface, const std::string& campaign);

}  // namespace finescale
