// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/formats/safetensors_header.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <optional>

#include "checkpoint/formats/safetensors_json.h"
#include "core/error.h"

namespace finescale {

namespace {

constexpr std::uint64_t kLengthBytes = 8;
// The format's own bound on the header.
constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;

struct NamedBits {
  std::string_view name;
  int bits;
};
constexpr std::array<NamedBits, 22> kDTypes = {
    {{"BOOL", 8},        {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8},
     {"I8", 8},          {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8},
     {"F8_E5M2FNUZ", 8}, {"I16", 16},    {"U16", 16},    {"F16", 16},    {"BF16", 16},
     {"I32", 32},        {"U32", 32},    {"F32", 32},    {"C64", 64},    {"F64", 64},
     {"I64", 64},        {"U64", 64}}};

class Validator {
 public:
  Validator(std::string_view bytes, const std::string& path) : bytes_(bytes), path_(path) {}

  SafetensorsHeader run() {
    const std::uint64_t length = header_length();
    data_begin_ = kLengthBytes + length;
    SafetensorsJson json;
    try {
      json = parse_safetensors_json(bytes_.substr(kLengthBytes, length));
    } catch (const SafetensorsFault& fault) {
      fail(kLengthBytes + fault.offset, fault.field, fault.message);
    }
    SafetensorsHeader header;
    header.metadata = std::move(json.metadata);
    for (SafetensorsJson::Tensor& tensor : json.tensors) {
      header.entries.push_back(entry_of(tensor));
    }
    check_layout(json);
    std::sort(header.entries.begin(), header.entries.end(),
              [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
                return a.info.name < b.info.name;
              });
    return header;
  }

 private:
  [[noreturn]] void fail(std::uint64_t byte, const std::string& field,
                         const std::string& message) const {
    throw Error(ErrorKind::kData, message,
                path_ + ": byte " + std::to_string(byte) + (field.empty() ? "" : ", " + field),
                "the file is damaged or no safetensors file: get it again, or convert it anew");
  }

  [[nodiscard]] std::uint64_t header_length() const {
    if (bytes_.size() < kLengthBytes) {
      fail(0, "header length",
           "the file has " + std::to_string(bytes_.size()) + " bytes, the header's length alone 8");
    }
    std::uint64_t length = 0;
    for (std::size_t i = 0; i < kLengthBytes; ++i) {
      length |= std::uint64_t{static_cast<unsigned char>(bytes_[i])} << (8 * i);
    }
    if (length > kMaxHeaderBytes) {
      fail(0, "header length",
           "the header's length is " + std::to_string(length) + ", more than " +
               std::to_string(kMaxHeaderBytes) + " is not allowed");
    }
    if (length > bytes_.size() - kLengthBytes) {
      fail(0, "header length",
           "the header's length is " + std::to_string(length) + ", but only " +
               std::to_string(bytes_.size() - kLengthBytes) + " bytes follow");
    }
    if (length == 0 || bytes_[kLengthBytes] != '{') {
      fail(kLengthBytes, "header", "the header does not begin with {");
    }
    return length;
  }

  SafetensorsEntry entry_of(SafetensorsJson::Tensor& tensor) const {
    const std::uint64_t at = kLengthBytes + tensor.offset;
    const int bits = safetensors_bits(tensor.dtype);
    if (bits == 0) {
      fail(at, tensor.name + ".dtype", "unknown dtype " + tensor.dtype);
    }
    const std::optional<std::uint64_t> size = size_of(tensor.shape, static_cast<unsigned>(bits));
    if (!size) {
      fail(at, tensor.name + ".shape", "the number of elements or bytes overflows 64 bits");
    }
    if (*size % 8 != 0) {
      fail(at, tensor.name + ".shape", std::to_string(*size) + " bits are no whole bytes");
    }
    if (tensor.begin > tensor.end) {
      fail(at, tensor.name + ".data_offsets",
           "the begin " + std::to_string(tensor.begin) + " lies behind the end " +
               std::to_string(tensor.end));
    }
    if (tensor.end - tensor.begin != *size / 8) {
      fail(at, tensor.name + ".data_offsets",
           "the offsets span " + std::to_string(tensor.end - tensor.begin) +
               " bytes, dtype and shape need " + std::to_string(*size / 8));
    }
    if (tensor.end > bytes_.size() - data_begin_) {
      fail(at, tensor.name + ".data_offsets",
           "the end " + std::to_string(tensor.end) + " lies behind the file's data of " +
               std::to_string(bytes_.size() - data_begin_) + " bytes");
    }
    if (tensor.shape.size() > kMaxRank) {
      fail(at, tensor.name + ".shape",
           std::to_string(tensor.shape.size()) + " dimensions, at most 4 are supported");
    }
    SafetensorsEntry entry;
    entry.info.name = tensor.name;
    entry.info.dtype = tensor.dtype;
    entry.info.shape.rank = static_cast<int>(tensor.shape.size());
    for (std::size_t axis = 0; axis < tensor.shape.size(); ++axis) {
      entry.info.shape.dims.at(axis) = static_cast<std::int64_t>(tensor.shape[axis]);
    }
    if (tensor.shape.empty()) {
      entry.info.shape = Shape{1};  // a scalar
    }
    entry.begin = data_begin_ + tensor.begin;
    entry.end = data_begin_ + tensor.end;
    return entry;
  }

  static constexpr std::size_t kMaxRank = 4;

  // Bits of the whole tensor; nothing when that overflows, or a dimension does not fit int64.
  static std::optional<std::uint64_t> size_of(const std::vector<std::uint64_t>& shape,
                                              unsigned bits) {
    std::uint64_t elements = 1;
    for (const std::uint64_t dim : shape) {
      if (dim > std::numeric_limits<std::int64_t>::max() ||
          __builtin_mul_overflow(elements, dim, &elements)) {
        return std::nullopt;
      }
    }
    std::uint64_t total = 0;
    if (elements > std::numeric_limits<std::int64_t>::max() ||
        __builtin_mul_overflow(elements, std::uint64_t{bits}, &total)) {
      return std::nullopt;
    }
    return total;
  }

  // The tensors fill the data without gap or overlap.
  void check_layout(SafetensorsJson& json) const {
    std::sort(json.tensors.begin(), json.tensors.end(),
              [](const SafetensorsJson::Tensor& a, const SafetensorsJson::Tensor& b) {
                return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
              });
    std::uint64_t reached = 0;
    for (const SafetensorsJson::Tensor& tensor : json.tensors) {
      if (tensor.begin != reached) {
        fail(kLengthBytes + tensor.offset, tensor.name + ".data_offsets",
             std::string(tensor.begin > reached ? "a gap" : "an overlap") +
                 ": the tensor begins at " + std::to_string(tensor.begin) +
                 " of the data, the one before ends at " + std::to_string(reached));
      }
      reached = tensor.end;
    }
    if (reached != bytes_.size() - data_begin_) {
      fail(data_begin_ + reached, "data",
           std::to_string(bytes_.size() - data_begin_ - reached) +
               " bytes behind the last tensor belong to none");
    }
  }

  std::string_view bytes_;
  const std::string& path_;
  std::uint64_t data_begin_ = 0;
};

}  // namespace

int safetensors_bits(std::string_view dtype) noexcept {
  for (const NamedBits& type : kDTypes) {
    if (type.name == dtype) {
      return type.bits;
    }
  }
  return 0;
}

SafetensorsHeader parse_safetensors_header(std::string_view bytes, const std::string& path) {
  return Validator(bytes, path).run();
}

}  // namespace finescale
