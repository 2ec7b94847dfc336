// SPDX-License-Identifier: Apache-2.0
// XXH3-128 as lower-case hex: names of contents, not a defence against an adversary.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace finescale {

class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;
  void update(const void* data, std::size_t size_bytes);
  void update(std::string_view text) { update(text.data(), text.size()); }
  [[nodiscard]] std::string hex() const;  // 32 characters

 private:
  struct State;
  std::unique_ptr<State> state_;
};

[[nodiscard]] std::string hash_hex(std::string_view bytes);
[[nodiscard]] std::string hash_file(const std::string& path);  // throws kIo when it cannot be read

}  // namespace finescale
