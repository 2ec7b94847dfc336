// SPDX-License-Identifier: Apache-2.0
#include "core/foreign_error.h"

#include <filesystem>
#include <new>
#include <system_error>

namespace finescale {

Error foreign_error(const std::exception& error) {
  if (const auto* file = dynamic_cast<const std::filesystem::filesystem_error*>(&error)) {
    return {ErrorKind::kIo, file->code().message(), file->path1().string()};
  }
  if (dynamic_cast<const std::system_error*>(&error) != nullptr) {
    return {ErrorKind::kIo, error.what()};
  }
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) {
    return {ErrorKind::kResource, "out of memory"};
  }
  return {ErrorKind::kInternal, error.what()};
}

}  // namespace finescale
