// SPDX-License-Identifier: Apache-2.0
#include "core/hash.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

#include <xxhash.h>

#include "core/error.h"
#include "core/unique_handle.h"

namespace finescale {

namespace {

struct StdioTraits {
  using Handle = std::FILE*;
  static Handle invalid() noexcept { return nullptr; }
  static void destroy(Handle handle) noexcept { std::fclose(handle); }
};

}  // namespace

struct Hasher::State {
  XXH3_state_t* xxh = XXH3_createState();
  State() { XXH3_128bits_reset(xxh); }
  ~State() { XXH3_freeState(xxh); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
};

Hasher::Hasher() : state_(std::make_unique<State>()) {}
Hasher::~Hasher() = default;

void Hasher::update(const void* data, std::size_t size_bytes) {
  XXH3_128bits_update(state_->xxh, data, size_bytes);
}

std::string Hasher::hex() const {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state_->xxh));
  constexpr std::array<char, 17> kDigits = {"0123456789abcdef"};
  std::string text;
  text.reserve(32);
  for (const unsigned char byte : canonical.digest) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

std::string hash_hex(std::string_view bytes) {
  Hasher hasher;
  hasher.update(bytes);
  return hasher.hex();
}

std::string hash_file(const std::string& path) {
  const UniqueHandle<StdioTraits> file(std::fopen(path.c_str(), "rb"));
  if (!file) {
    throw Error(ErrorKind::kIo, std::string("cannot read: ") + std::strerror(errno), path);
  }
  Hasher hasher;
  std::vector<char> buffer(std::size_t{1} << 20);
  for (;;) {
    const std::size_t count = std::fread(buffer.data(), 1, buffer.size(), file.get());
    hasher.update(buffer.data(), count);
    if (count < buffer.size()) {
      break;
    }
  }
  if (std::ferror(file.get()) != 0) {
    throw Error(ErrorKind::kIo, std::string("cannot read: ") + std::strerror(errno), path);
  }
  return hasher.hex();
}

}  // namespace finescale
