// SPDX-License-Identifier: Apache-2.0
#include "core/error.h"

#include <array>
#include <utility>

namespace finescale {

namespace {

std::string compose(const std::string& message, const std::string& where) {
  return where.empty() ? message : where + ": " + message;
}

constexpr std::array<std::string_view, 10> kNames = {
    "config", "data",     "io",     "checkpoint", "device",
    "comm",   "protocol", "launch", "resource",   "internal"};

}  // namespace

Error::Error(ErrorKind kind, std::string message, std::string where, std::string hint,
             const char* file, int line)
    : std::runtime_error(compose(message, where)),
      kind_(kind),
      message_(std::move(message)),
      where_(std::move(where)),
      hint_(std::move(hint)),
      file_(file),
      line_(line) {}

std::string_view error_kind_name(ErrorKind kind) noexcept {
  return kNames[static_cast<size_t>(kind)];
}

ErrorKind error_kind_from_name(std::string_view name) noexcept {
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) {
      return static_cast<ErrorKind>(i);
    }
  }
  return ErrorKind::kInternal;
}

bool is_retryable(ErrorKind kind) noexcept {
  switch (kind) {
    case ErrorKind::kIo:
    case ErrorKind::kCheckpoint:
    case ErrorKind::kDevice:
    case ErrorKind::kComm:
    case ErrorKind::kProtocol:
    case ErrorKind::kLaunch:
    case ErrorKind::kResource:  // space and memory come back, or another host has them
      return true;
    case ErrorKind::kConfig:
    case ErrorKind::kData:
    case ErrorKind::kInternal:
      return false;
  }
  return false;
}

int exit_code(ErrorKind kind) noexcept {
  switch (kind) {
    case ErrorKind::kConfig:
    case ErrorKind::kData:
      return 2;
    case ErrorKind::kIo:
    case ErrorKind::kDevice:
    case ErrorKind::kLaunch:
    case ErrorKind::kResource:
      return 3;
    case ErrorKind::kCheckpoint:
    case ErrorKind::kComm:
    case ErrorKind::kProtocol:
    case ErrorKind::kInternal:
      return 4;
  }
  return 4;
}

std::string describe(const Error& error) {
  std::string text = "error: ";
  text += error.what();
  if (!error.hint().empty()) {
    text += "\n  ";
    text += error.hint();
  }
  return text;
}

}  // namespace finescale
