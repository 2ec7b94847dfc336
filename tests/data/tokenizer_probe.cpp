// SPDX-License-Identifier: Apache-2.0
// For scripts: tokenizer_probe FILE reads texts on standard input (four bytes of length,
// little-endian, then the bytes) and writes the ids of each on a line. tokenizer_probe FILE --time:
// encodes them all five times and writes the best seconds and the number of ids.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

#include "core/error.h"
#include "worker/data/tokenizer.h"

namespace finescale {
namespace {

std::vector<std::string> texts_of(const std::string& input) {
  std::vector<std::string> texts;
  for (std::size_t at = 0; at + 4 <= input.size();) {
    std::uint32_t length = 0;
    std::memcpy(&length, input.data() + at, sizeof(length));
    texts.push_back(input.substr(at + 4, length));
    at += 4 + static_cast<std::size_t>(length);
  }
  return texts;
}

void time_encoding(const Tokenizer& tokenizer, const std::vector<std::string>& texts) {
  double best = std::numeric_limits<double>::infinity();
  std::size_t num_ids = 0;
  for (int round = 0; round < 5; ++round) {
    num_ids = 0;
    const auto begin = std::chrono::steady_clock::now();
    for (const std::string& text : texts) {
      num_ids += tokenizer.encode(text).size();
    }
    best = std::min(
        best, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  std::printf("%.6f %zu\n", best, num_ids);
}

void write_ids(const Tokenizer& tokenizer, const std::vector<std::string>& texts) {
  for (const std::string& text : texts) {
    std::string line;
    for (const std::int32_t id : tokenizer.encode(text)) {
      line += std::to_string(id) + " ";
    }
    std::puts(line.c_str());
  }
}

int run(int argc, char** argv) {
  if (argc < 2) {
    std::fputs("usage: tokenizer_probe FILE [--time] < texts\n", stderr);
    return 2;
  }
  try {
    const Tokenizer tokenizer = Tokenizer::load(argv[1]);
    const std::vector<std::string> texts =
        texts_of({std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()});
    if (argc > 2 && std::strcmp(argv[2], "--time") == 0) {
      time_encoding(tokenizer, texts);
    } else {
      write_ids(tokenizer, texts);
    }
    return 0;
  } catch (const Error& error) {
    std::fputs((describe(error) + "\n").c_str(), stderr);
    return exit_code(error.kind());
  }
}

}  // namespace
}  // namespace finescale

int main(int argc, char** argv) {
  return finescale::run(argc, argv);
}
