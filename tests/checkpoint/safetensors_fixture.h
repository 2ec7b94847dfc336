// SPDX-License-Identifier: Apache-2.0
// Small safetensors files, made byte by byte.
#pragma once

#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "core/files.h"

namespace finescale {

// Eight bytes of length, the header, the data.
inline std::string safetensors_bytes(std::string_view header, std::string_view data) {
  std::string bytes(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) {
    bytes[i] = static_cast<char>(header.size() >> (8 * i));
  }
  return bytes + std::string(header) + std::string(data);
}

template <class T>
std::string raw_bytes(const std::vector<T>& values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

// A directory of the test's own, removed at its end.
class FilesTest : public testing::Test {
 protected:
  FilesTest() : directory_(testing::TempDir() + "finescale_files_" + std::to_string(::getpid())) {
    std::filesystem::remove_all(directory_);
    make_directories(directory_);
  }
  ~FilesTest() override {
    std::error_code code;
    std::filesystem::remove_all(directory_, code);
  }

  std::string write(const std::string& name, std::string_view bytes) const {
    const std::string path = directory_ + "/" + name;
    write_file_atomically(path, bytes);
    return path;
  }

  std::string directory_;
};

}  // namespace finescale
