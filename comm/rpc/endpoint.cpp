// SPDX-License-Identifier: Apache-2.0
#include "comm/rpc/endpoint.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>

#include "comm/rpc/address.h"
#include "core/descriptor.h"
#include "core/error.h"
#include "core/files.h"
#include "core/host_name.h"
#include "core/unique_handle.h"

namespace finescale {

namespace {

constexpr int kAuthorityDays = 3650;
constexpr int kCertificateDays = 400;  // of one coordinator's life; the next makes new ones
constexpr const char* kField = "resources.interface";

struct InterfacesTraits {
  using Handle = ifaddrs*;
  static Handle invalid() noexcept { return nullptr; }
  static void destroy(Handle handle) noexcept { ::freeifaddrs(handle); }
};
struct LookupTraits {
  using Handle = addrinfo*;
  static Handle invalid() noexcept { return nullptr; }
  static void destroy(Handle handle) noexcept { ::freeaddrinfo(handle); }
};

bool parse_address(const std::string& text, in_addr& out) {
  return ::inet_pton(AF_INET, text.c_str(), &out) == 1;
}

std::string text_of(const sockaddr* address) {
  std::array<char, INET_ADDRSTRLEN> text{};
  const auto* inet = reinterpret_cast<const sockaddr_in*>(address);
  ::inet_ntop(AF_INET, &inet->sin_addr, text.data(), text.size());
  return text.data();
}

std::string address_of_interface(const std::string& name) {
  ifaddrs* raw = nullptr;
  if (::getifaddrs(&raw) != 0) {
    return "";
  }
  const UniqueHandle<InterfacesTraits> all(raw);
  for (const ifaddrs* one = all.get(); one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr != nullptr && one->ifa_addr->sa_family == AF_INET && name == one->ifa_name) {
      return text_of(one->ifa_addr);
    }
  }
  return "";
}

std::string address_of_host(const std::string& name) {
  addrinfo hints{};
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* raw = nullptr;
  if (::getaddrinfo(name.c_str(), nullptr, &hints, &raw) != 0) {
    return "";
  }
  const UniqueHandle<LookupTraits> found(raw);
  return found ? text_of(found.get()->ai_addr) : "";
}

// What others may read is no secret, whatever it was when it was written.
std::string read_secret(const std::string& path) {
  struct stat file {};
  constexpr mode_t kOthers = S_IRWXG | S_IRWXO;
  if (::stat(path.c_str(), &file) == 0 && (file.st_mode & kOthers) != 0) {
    throw Error(ErrorKind::kConfig, "the key of the campaign's authority may be read by others",
                path, "chmod 600 it if nobody has, else remove its directory: a new one is made");
  }
  return read_file(path);
}

KeyPair campaign_authority(const std::string& campaign) {
  const std::string directory = campaign + "/tls";
  const std::string certificate = directory + "/ca.pem";
  const std::string key = directory + "/ca.key";
  if (path_exists(certificate) && path_exists(key)) {
    KeyPair authority{read_file(certificate), read_secret(key)};
    if (days_left(authority.certificate) > kCertificateDays) {
      return authority;
    }
  }
  make_directories(directory);
  std::filesystem::permissions(directory, std::filesystem::perms::owner_all);
  const KeyPair authority = make_authority(
      "finescale " + std::filesystem::path(campaign).filename().string(), kAuthorityDays);
  write_file_atomically(key, authority.key, 0600);
  write_file_atomically(certificate, authority.certificate, 0600);
  return authority;
}

}  // namespace

bool is_loopback(const std::string& host) {
  in_addr address{};
  constexpr std::uint32_t kLoopbackNet = 127;
  return host == "localhost" || host == "::1" ||
         (parse_address(host, address) && ntohl(address.s_addr) >> 24 == kLoopbackNet);
}

std::string listening_address(const std::string& interface) {
  if (interface.empty()) {
    return "127.0.0.1";
  }
  in_addr address{};
  std::string found = parse_address(interface, address) ? interface : "";
  if (found.empty()) {
    found = address_of_interface(interface);
  }
  if (found.empty()) {
    found = address_of_host(interface);
  }
  if (found.empty()) {
    throw Error(
        ErrorKind::kConfig,
        "\"" + interface + "\" is no address, network interface or host name of this machine",
        kField, "ip -brief address lists them");
  }
  if (parse_address(found, address) && address.s_addr == INADDR_ANY) {
    throw Error(ErrorKind::kConfig, "gangs cannot call " + found, kField,
                "give the one address of this machine at which they reach it");
  }
  return found;
}

void require_listenable(const std::string& interface) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  const std::string host = listening_address(interface);
  const Descriptor probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!probe || !parse_address(host, address.sin_addr) ||
      ::bind(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw Error(ErrorKind::kConfig, "cannot listen on " + host + ": " + std::strerror(errno),
                kField, "it must be an address of this machine: ip -brief address lists them");
  }
}

Endpoint make_endpoint(const std::string& interface, const std::string& campaign) {
  Endpoint endpoint;
  endpoint.host = listening_address(interface);
  if (is_loopback(endpoint.host)) {
    return endpoint;
  }
  const KeyPair authority = campaign_authority(campaign);
  const CertificateSubject coordinator{"coordinator", {endpoint.host, host_name()}};
  endpoint.server = TlsIdentity{
      authority.certificate,
      issue_certificate(authority, coordinator, CertificateUse::kServer, kCertificateDays)};
  endpoint.client = TlsIdentity{
      authority.certificate,
      issue_certificate(authority, {"gang", {}}, CertificateUse::kClient, kCertificateDays)};
  return endpoint;
}

}  // namespace finescale
