// SPDX-License-Identifier: Apache-2.0
// The one exception type. The kind decides whether a stage is tried again and the exit code of the
// process.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace finescale {

enum class ErrorKind {
  kConfig,      // the user's YAML or flags
  kData,        // the user's data files
  kIo,          // file system
  kCheckpoint,  // a checkpoint or artifact is missing or damaged
  kDevice,      // GPU or its libraries
  kComm,        // MPI, NCCL, RPC
  kProtocol,    // a peer sent what it must not
  kLaunch,      // a gang could not be started
  kResource,    // something the machine lacks: mpirun, GPU, disk space
  kInternal,    // our own invariant
};

class Error : public std::runtime_error {
 public:
  // `where` is what the user can look at (sweep.yaml:4:3); `hint` says what to do. Both may be
  // empty.
  Error(ErrorKind kind, std::string message, std::string where = {}, std::string hint = {},
        const char* file = __builtin_FILE(), int line = __builtin_LINE());

  [[nodiscard]] ErrorKind kind() const noexcept { return kind_; }
  [[nodiscard]] const std::string& message() const noexcept { return message_; }
  [[nodiscard]] const std::string& where() const noexcept { return where_; }
  [[nodiscard]] const std::string& hint() const noexcept { return hint_; }
  [[nodiscard]] const char* file() const noexcept { return file_; }
  [[nodiscard]] int line() const noexcept { return line_; }

 private:
  ErrorKind kind_;
  std::string message_;
  std::string where_;
  std::string hint_;
  const char* file_;
  int line_;
};

[[nodiscard]] std::string_view error_kind_name(ErrorKind kind) noexcept;
[[nodiscard]] ErrorKind error_kind_from_name(std::string_view name) noexcept;  // unknown: kInternal

// Whether running the same stage again elsewhere can help.
[[nodiscard]] bool is_retryable(ErrorKind kind) noexcept;

// Exit codes of CLI.md: 2 the user's input, 3 a missing resource, 4 internal.
[[nodiscard]] int exit_code(ErrorKind kind) noexcept;

// One line for people: `error: where: message\n  hint`.
[[nodiscard]] std::string describe(const Error& error);

}  // namespace finescale

// For our own invariants, on in release builds; never for what a user, file or peer sends.
#define FS_CHECK(condition, message)                                                       \
  do {                                                                                     \
    if (!(condition)) {                                                                    \
      throw ::finescale::Error(::finescale::ErrorKind::kInternal,                          \
                               std::string("check failed: " #condition ": ") + (message)); \
    }                                                                                      \
  } while (false)
