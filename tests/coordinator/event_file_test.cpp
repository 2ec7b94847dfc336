// SPDX-License-Identifier: Apache-2.0
// Event files byte by byte, as TensorBoard's reader checks them.
#include "coordinator/metrics/event_file.h"

#include <bit>
#include <cstring>
#include <string>

#include <gtest/gtest.h>

#include "core/crc32c.h"

namespace finescale {
namespace {

template <class T>
T number_at(const std::string& bytes, std::size_t at) {
  T value = 0;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

std::uint32_t masked(std::uint32_t crc) {
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8U;
}

// The content of the record at `at`, which moves behind it.
std::string record(const std::string& bytes, std::size_t& at) {
  const auto length = number_at<std::uint64_t>(bytes, at);
  EXPECT_EQ(number_at<std::uint32_t>(bytes, at + 8), masked(crc32c(bytes.substr(at, 8))));
  std::string content = bytes.substr(at + 12, length);
  EXPECT_EQ(number_at<std::uint32_t>(bytes, at + 12 + length), masked(crc32c(content)));
  at += 16 + length;
  return content;
}

TEST(EventFile, BeginsWithItsVersion) {
  const EventFile file(1.5);
  std::size_t at = 0;
  const std::string event = record(file.bytes(), at);
  EXPECT_EQ(at, file.bytes().size());
  EXPECT_EQ(event[0], 0x09);
  EXPECT_EQ(number_at<double>(event, 1), 1.5);
  EXPECT_EQ(event.substr(9),
            "\x1a\x0d"
            "brain.Event:2");
}

TEST(EventFile, AScalarHasTimeStepTagAndValue) {
  EventFile file(0);
  file.add_scalar(2.5, 300, "train/loss", 0.75);
  std::size_t at = 0;
  (void)record(file.bytes(), at);
  const std::string event = record(file.bytes(), at);
  EXPECT_EQ(at, file.bytes().size());
  EXPECT_EQ(number_at<double>(event, 1), 2.5);
  EXPECT_EQ(event.substr(9, 3), "\x10\xac\x02");       // step 300
  EXPECT_EQ(event.substr(12, 4), "\x2a\x13\x0a\x11");  // summary { value {
  EXPECT_EQ(event.substr(16, 12), "\x0a\x0atrain/loss");
  EXPECT_EQ(event[28], 0x15);
  EXPECT_EQ(number_at<float>(event, 29), 0.75F);
  EXPECT_EQ(event.size(), 33U);
}

}  // namespace
}  // namespace finescale
