// SPDX-License-Identifier: Apache-2.0
// Tokens on disk, found by what they are made of: contents of files, tokenizer, rules, chat
// template. A file is whole or absent; one that is damaged is made again. What was not used for
// longest goes when the directory grows too large.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "configs/schema/stage.pb.h"
#include "worker/data/dataset.h"

namespace finescale {

struct TokenCache {
  std::string directory;       // made when it is needed; empty: there is no cache
  std::string tokenizer_hash;  // of the tokenizer's file
  std::int64_t max_bytes = 8LL << 30;
};

// $FINESCALE_CACHE_DIR, which campaigns share, else `own`.
[[nodiscard]] std::string cache_directory(const std::string& own);

// Hands every example to `take` and returns what is known besides.
using ExampleSource = std::function<DatasetFacts(const std::function<void(const Example&)>& take)>;

struct CachedTokens {
  ExampleTable table;
  DatasetFacts facts;
  std::string story;  // what the cache did, for the log
};

// Neither the name of a set nor the part that is held out is in it: those share a file.
[[nodiscard]] std::string token_key(const config::DatasetRef& ref, const config::DataRules& rules,
                                    const TokenCache& cache);

// The tokens of the key, from the file or else from the source, which is then written beside and
// renamed. Processes that want the same wait for the one that makes it. Where nothing can be
// written they are kept in memory, and the story says so. Throws what the source throws.
[[nodiscard]] CachedTokens cached_tokens(const TokenCache& cache, const std::string& key,
                                         const ExampleSource& source);

// Nothing when there is no file; `damage` says what is wrong with one that cannot be used.
[[nodiscard]] std::optional<CachedTokens> read_token_file(const std::string& path,
                                                          const std::string& key,
                                                          std::string* damage);

}  // namespace finescale
