// SPDX-License-Identifier: Apache-2.0
#include "coordinator/metrics/event_file.h"

#include <bit>

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "core/crc32c.h"

namespace finescale {

namespace {

using google::protobuf::io::CodedOutputStream;

// Tags of fields (number << 3 | wire type) of tensorflow.Event, Summary and Summary.Value.
constexpr std::uint32_t kWallTime = 1 << 3 | 1;
constexpr std::uint32_t kStep = 2 << 3 | 0;
constexpr std::uint32_t kFileVersion = 3 << 3 | 2;
constexpr std::uint32_t kSummary = 5 << 3 | 2;
constexpr std::uint32_t kValue = 1 << 3 | 2;
constexpr std::uint32_t kTag = 1 << 3 | 2;
constexpr std::uint32_t kSimpleValue = 2 << 3 | 5;

template <class Fill>
std::string message(const Fill& fill) {
  std::string text;
  {
    google::protobuf::io::StringOutputStream stream(&text);
    CodedOutputStream out(&stream);
    fill(out);
  }
  return text;
}

void put_text(CodedOutputStream& out, std::uint32_t tag, std::string_view text) {
  out.WriteTag(tag);
  out.WriteVarint64(text.size());
  out.WriteRaw(text.data(), static_cast<int>(text.size()));
}

void put_wall_time(CodedOutputStream& out, double wall_time) {
  out.WriteTag(kWallTime);
  out.WriteLittleEndian64(std::bit_cast<std::uint64_t>(wall_time));
}

// A CRC of data that holds CRCs is weak: so the format rotates and offsets it.
std::uint32_t masked_crc(std::string_view bytes) {
  return std::rotr(crc32c(bytes), 15) + 0xa282ead8U;
}

template <class T>
std::string little_endian(T value) {
  std::string bytes;
  for (std::size_t i = 0; i < sizeof value; ++i) {
    bytes += static_cast<char>(value >> (8 * i) & 0xff);
  }
  return bytes;
}

}  // namespace

EventFile::EventFile(double wall_time) {
  add_record(message([&](CodedOutputStream& out) {
    put_wall_time(out, wall_time);
    put_text(out, kFileVersion, "brain.Event:2");
  }));
}

void EventFile::add_scalar(double wall_time, std::int64_t step, std::string_view tag,
                           double value) {
  const std::string one = message([&](CodedOutputStream& out) {
    put_text(out, kTag, tag);
    out.WriteTag(kSimpleValue);
    out.WriteLittleEndian32(std::bit_cast<std::uint32_t>(static_cast<float>(value)));
  });
  const std::string summary = message([&](CodedOutputStream& out) { put_text(out, kValue, one); });
  add_record(message([&](CodedOutputStream& out) {
    put_wall_time(out, wall_time);
    out.WriteTag(kStep);
    out.WriteVarint64(static_cast<std::uint64_t>(step));
    put_text(out, kSummary, summary);
  }));
}

void EventFile::add_record(std::string_view event) {
  const std::string length = little_endian(static_cast<std::uint64_t>(event.size()));
  bytes_ += length + little_endian(masked_crc(length));
  bytes_ += event;
  bytes_ += little_endian(masked_crc(event));
}

}  // namespace finescale
