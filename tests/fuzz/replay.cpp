// SPDX-License-Identifier: Apache-2.0
// Runs a fuzzer's target once on each file given, or each file of a directory: the corpus and what
// fuzzers once found, in builds without libFuzzer.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/allocation_watch.h"
#include "tests/fuzz/fuzz_target.h"

namespace {

namespace fs = std::filesystem;

// As the fuzzers run, see fuzz.sh.
constexpr std::size_t kMaxAllocation = 256U << 20;

std::vector<fs::path> files_of(int argc, char** argv) {
  std::vector<fs::path> files;
  for (int i = 1; i < argc; ++i) {
    if (!fs::is_directory(argv[i])) {
      files.emplace_back(argv[i]);
      continue;
    }
    for (const auto& entry : fs::directory_iterator(argv[i])) {
      files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

// False when something else than a refusal came out.
bool replay(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  // Of exactly the size, so that sanitizers see a read behind the end.
  const std::vector<char> bytes{std::istreambuf_iterator<char>(in), {}};
  finescale::reset_largest_allocation();
  try {
    (void)LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  } catch (const std::exception& error) {
    std::printf("%s: %s\n", file.c_str(), error.what());
    return false;
  }
  if (finescale::largest_allocation() > kMaxAllocation) {
    std::printf("%s: asked for %zu bytes at once\n", file.c_str(), finescale::largest_allocation());
    return false;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<fs::path> files = files_of(argc, argv);
  const auto failed =
      std::count_if(files.begin(), files.end(), [](const fs::path& file) { return !replay(file); });
  std::printf("%zu files, %td failed\n", files.size(), failed);
  return files.empty() || failed > 0 ? 1 : 0;
}
