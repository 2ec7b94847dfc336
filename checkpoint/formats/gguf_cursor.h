// SPDX-License-Identifier: Apache-2.0
// Reads the header of a GGUF file front to back: little-endian, every read checked against the end
// of the file, every fault reported with the byte and the field where it is.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace finescale {

class GgufCursor {
 public:
  GgufCursor(std::string_view file, const std::string& path) : file_(file), path_(&path) {}

  // What is being read, for messages: "tokenizer.ggml.tokens".
  void enter(std::string field) { field_ = std::move(field); }

  template <class T>
  [[nodiscard]] T number(const char* what) {
    need(sizeof(T), what);
    T value;
    std::memcpy(&value, file_.data() + at_, sizeof(T));
    at_ += sizeof(T);
    return value;
  }
  // A length of 8 bytes, then that many bytes.
  [[nodiscard]] std::string_view text(const char* what);
  void skip(std::uint64_t bytes, const char* what);

  [[nodiscard]] std::uint64_t at() const noexcept { return at_; }
  [[nodiscard]] std::uint64_t left() const noexcept { return file_.size() - at_; }
  [[nodiscard]] std::string_view file() const noexcept { return file_; }
  // Throws kData: `message` about what begins at byte `at`.
  [[noreturn]] void fail(const std::string& message, std::uint64_t at,
                         const std::string& hint = {}) const;

 private:
  void need(std::uint64_t bytes, const char* what) const;

  std::string_view file_;
  const std::string* path_;
  std::string field_ = "header";
  std::uint64_t at_ = 0;
};

// `model.gguf: byte 24: tensor_count`: the place of a fault.
[[nodiscard]] std::string gguf_place(const std::string& path, std::uint64_t at,
                                     const std::string& field);
// Names go into messages and JSON: anything else than printable UTF-8 is refused.
[[nodiscard]] bool is_printable_utf8(std::string_view text) noexcept;

}  // namespace finescale
