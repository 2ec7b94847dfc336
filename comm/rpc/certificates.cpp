// SPDX-License-Identifier: Apache-2.0
#include "comm/rpc/certificates.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cctype>

#include "core/error.h"
#include "core/unique_handle.h"

namespace finescale {

namespace {

template <class T, void (*kFree)(T*)>
struct OpensslTraits {
  using Handle = T*;
  static Handle invalid() noexcept { return nullptr; }
  static void destroy(Handle handle) noexcept { kFree(handle); }
};
void free_bio(BIO* bio) {
  BIO_free_all(bio);
}
using Key = UniqueHandle<OpensslTraits<EVP_PKEY, EVP_PKEY_free>>;
using Certificate = UniqueHandle<OpensslTraits<X509, X509_free>>;
using Bio = UniqueHandle<OpensslTraits<BIO, free_bio>>;
using Extension = UniqueHandle<OpensslTraits<X509_EXTENSION, X509_EXTENSION_free>>;
using Number = UniqueHandle<OpensslTraits<BIGNUM, BN_free>>;
using Believed = UniqueHandle<OpensslTraits<X509_STORE, X509_STORE_free>>;
using Verification = UniqueHandle<OpensslTraits<X509_STORE_CTX, X509_STORE_CTX_free>>;

constexpr int kSerialBits = 127;            // positive, and no two alike
constexpr std::size_t kMaxNameLength = 64;  // of a common name: RFC 5280, ub-common-name
constexpr long kClockDifference = 86400;    // seconds by which clocks of a cluster may differ

void require(bool ok, const char* what) {
  if (!ok) {
    throw Error(ErrorKind::kInternal, std::string("OpenSSL cannot ") + what);
  }
}

Key make_key() {
  Key key(EVP_EC_gen("P-256"));
  require(static_cast<bool>(key), "make a key");
  return key;
}

template <class Write>
std::string to_pem(const Write& write) {
  const Bio bio(BIO_new(BIO_s_mem()));
  require(bio && write(bio.get()) == 1, "write PEM");
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

Bio memory_of(const std::string& text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

Certificate read_certificate(const std::string& pem) {
  const Bio bio = memory_of(pem);
  return Certificate(bio ? PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr) : nullptr);
}

Key read_key(const std::string& pem) {
  const Bio bio = memory_of(pem);
  return Key(bio ? PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr) : nullptr);
}

void set_serial(X509* certificate) {
  const Number number(BN_new());
  require(number && BN_rand(number.get(), kSerialBits, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
              BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr,
          "draw a serial number");
}

void set_name(X509* certificate, const std::string& name) {
  const std::string cut = name.substr(0, kMaxNameLength);
  require(X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                                     reinterpret_cast<const unsigned char*>(cut.data()),
                                     static_cast<int>(cut.size()), -1, 0) == 1,
          "name a certificate");
}

// `issuer` may be the certificate itself.
void add_extension(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str()));
  require(extension && X509_add_ext(certificate, extension.get(), -1) == 1, "add an extension");
}

Certificate begin_certificate(const std::string& name, EVP_PKEY* key, int days) {
  Certificate certificate(X509_new());
  constexpr long kVersion3 = 2;
  require(certificate && X509_set_version(certificate.get(), kVersion3) == 1, "make a certificate");
  set_serial(certificate.get());
  set_name(certificate.get(), name);
  const long begin = -kClockDifference + std::min(0, days) * 86400L;
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), begin);
  X509_time_adj_ex(X509_getm_notAfter(certificate.get()), days, 0, nullptr);
  require(X509_set_pubkey(certificate.get(), key) == 1, "set a key");
  return certificate;
}

KeyPair sign(const Certificate& certificate, const Key& key, X509* issuer, EVP_PKEY* issuer_key) {
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(issuer));
  require(X509_sign(certificate.get(), issuer_key, EVP_sha256()) > 0, "sign a certificate");
  return {to_pem([&](BIO* bio) { return PEM_write_bio_X509(bio, certificate.get()); }),
          to_pem([&](BIO* bio) {
            return PEM_write_bio_PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
          })};
}

bool is_host_name(const std::string& text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '.' || c == '-';
  });
}

bool is_ip_address(const std::string& text) {
  ASN1_OCTET_STRING* const address = a2i_IPADDRESS(text.c_str());
  ASN1_OCTET_STRING_free(address);
  return address != nullptr;
}

// As an extension's value; hosts that are neither names nor addresses are left out.
std::string alternative_names(const std::vector<std::string>& hosts) {
  std::string names;
  for (const std::string& host : hosts) {
    const bool is_address = is_ip_address(host);
    if (is_address || is_host_name(host)) {
      names.append(names.empty() ? "" : ",").append(is_address ? "IP:" : "DNS:").append(host);
    }
  }
  return names;
}

}  // namespace

KeyPair make_authority(const std::string& name, int days) {
  const Key key = make_key();
  const Certificate certificate = begin_certificate(name, key.get(), days);
  X509* const self = certificate.get();
  add_extension(self, self, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
  add_extension(self, self, NID_key_usage, "critical,keyCertSign");
  add_extension(self, self, NID_subject_key_identifier, "hash");
  return sign(certificate, key, self, key.get());
}

KeyPair issue_certificate(const KeyPair& authority, const CertificateSubject& subject,
                          CertificateUse use, int days) {
  const Certificate issuer = read_certificate(authority.certificate);
  const Key issuer_key = read_key(authority.key);
  require(issuer && issuer_key, "read the authority's key");
  const Key key = make_key();
  const Certificate certificate = begin_certificate(subject.name, key.get(), days);
  const auto add = [&](int kind, const std::string& value) {
    add_extension(certificate.get(), issuer.get(), kind, value);
  };
  add(NID_basic_constraints, "critical,CA:FALSE");
  add(NID_key_usage, "critical,digitalSignature");
  add(NID_ext_key_usage, use == CertificateUse::kServer ? "serverAuth" : "clientAuth");
  add(NID_authority_key_identifier, "keyid");
  if (const std::string names = alternative_names(subject.hosts); !names.empty()) {
    add(NID_subject_alt_name, names);
  }
  return sign(certificate, key, issuer.get(), issuer_key.get());
}

std::string certificate_fault(const std::string& certificate, const std::string& authority) {
  const Certificate own = read_certificate(certificate);
  const Certificate issuer = read_certificate(authority);
  if (!own || !issuer) {
    return own ? "its authority cannot be read" : "it cannot be read";
  }
  const Believed believed(X509_STORE_new());
  const Verification verification(X509_STORE_CTX_new());
  require(believed && verification && X509_STORE_add_cert(believed.get(), issuer.get()) == 1 &&
              X509_STORE_CTX_init(verification.get(), believed.get(), own.get(), nullptr) == 1,
          "verify a certificate");
  if (X509_verify_cert(verification.get()) == 1) {
    return "";
  }
  return X509_verify_cert_error_string(X509_STORE_CTX_get_error(verification.get()));
}

double days_left(const std::string& certificate) {
  const Certificate own = read_certificate(certificate);
  int days = 0;
  int seconds = 0;
  if (!own || ASN1_TIME_diff(&days, &seconds, nullptr, X509_get0_notAfter(own.get())) != 1) {
    return -1;
  }
  return days + seconds / 86400.0;
}

}  // namespace finescale
