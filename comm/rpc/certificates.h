// SPDX-License-Identifier: Apache-2.0
// Keys and certificates by which a coordinator and its gangs know each other: an authority of the
// campaign, and what it signs. ECDSA on P-256, as PEM texts. Needs no files and no network.
#pragma once

#include <string>
#include <vector>

namespace finescale {

struct KeyPair {
  std::string certificate;
  std::string key;  // private
};

// What one side of a TLS connection needs: itself, and whom it believes.
struct TlsIdentity {
  std::string authority;  // certificate
  KeyPair own;
};

enum class CertificateUse { kServer, kClient };

struct CertificateSubject {
  std::string name;
  std::vector<std::string> hosts;  // of a server: addresses and names at which it may be called
};

// `days` from now; a certificate is valid from a day before now, since clocks differ. Negative days
// make one that has expired. Both throw kInternal when the library fails.
[[nodiscard]] KeyPair make_authority(const std::string& name, int days);
[[nodiscard]] KeyPair issue_certificate(const KeyPair& authority, const CertificateSubject& subject,
                                        CertificateUse use, int days);

// Why a peer that believes `authority` would refuse the certificate: it has expired, another signed
// it, it cannot be read. "": it would not.
[[nodiscard]] std::string certificate_fault(const std::string& certificate,
                                            const std::string& authority);
// Until it expires; negative afterwards, and when it cannot be read.
[[nodiscard]] double days_left(const std::string& certificate);

}  // namespace finescale
