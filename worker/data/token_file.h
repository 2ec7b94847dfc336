// SPDX-License-Identifier: Apache-2.0
// The file of a token cache, written as examples come:
//   magic | payload of the examples | index | facts as JSON | their size (u64) | XXH3-128, hex
// The hash covers everything before it. Numbers are as this machine holds them; the magic differs
// on one that holds them otherwise.
#pragma once

#include <fstream>
#include <string>
#include <vector>

#include "core/hash.h"
#include "worker/data/dataset.h"

namespace finescale {

class TokenFileWriter {
 public:
  explicit TokenFileWriter(std::string path);  // throws kIo
  void add(const Example& example);            // throws kIo
  // The file is complete then. Not synced: one that a crash tears fails its hash and is made again.
  void finish(const std::string& key, const DatasetFacts& facts);

 private:
  void write(const void* data, std::size_t size_bytes);
  std::string path_;
  std::ofstream out_;
  Hasher hasher_;
  std::uint64_t payload_bytes_ = 0;
  std::vector<std::byte> buffer_;
  std::vector<ExampleRecord> records_;
};

}  // namespace finescale
