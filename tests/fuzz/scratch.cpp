// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/scratch.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace finescale {

ScratchDirectory::ScratchDirectory()
    : path_(std::filesystem::temp_directory_path().string() + "/finescale_fuzz_" +
            std::to_string(::getpid())) {
  std::filesystem::remove_all(path_);
  std::filesystem::create_directories(path_);
}

ScratchDirectory::~ScratchDirectory() {
  std::error_code code;
  std::filesystem::remove_all(path_, code);
}

std::string ScratchDirectory::write(const std::string& name, std::string_view bytes) const {
  std::string path = path_ + "/" + name;
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!out.flush()) {
    throw std::runtime_error("cannot write " + path);
  }
  return path;
}

}  // namespace finescale
