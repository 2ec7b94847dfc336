// SPDX-License-Identifier: Apache-2.0
#include "worker/data/token_cache.h"

#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/files.h"
#include "core/random.h"

namespace finescale {
namespace {

namespace fs = std::filesystem;

class TokenCacheTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "finescale_cache_" + std::to_string(::getpid()) + "_" +
                 testing::UnitTest::GetInstance()->current_test_info()->name();
    make_directories(directory_);
    cache_.directory = directory_ + "/cache";
    cache_.tokenizer_hash = "t1";
    write("{\"prompt\": \"a\", \"response\": \"bc\"}\n{\"text\": \"hello\"}\n{}\n");
    rules_.set_on_bad_example(config::ON_BAD_EXAMPLE_SKIP);
  }
  void TearDown() override { fs::remove_all(directory_); }

  void write(const std::string& lines) {
    write_file_atomically(directory_ + "/data.jsonl", lines);
    ref_.clear_files();
    ref_.add_files()->set_path(directory_ + "/data.jsonl");
  }
  Dataset read(bool cached = true) const {
    return Dataset(ref_, rules_, tokenizer_, cached ? &cache_ : nullptr);
  }
  std::vector<fs::path> files(const std::string& ending = ".tokens") const {
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(cache_.directory)) {
      if (entry.path().extension() == ending) {
        found.push_back(entry.path());
      }
    }
    return found;
  }
  static void expect_equal(const Dataset& a, const Dataset& b) {
    ASSERT_EQ(a.size(), b.size());
    for (std::int64_t i = 0; i < a.size(); ++i) {
      EXPECT_TRUE(std::equal(a[i].tokens.begin(), a[i].tokens.end(), b[i].tokens.begin(),
                             b[i].tokens.end()));
      EXPECT_EQ(a[i].num_labels(), b[i].num_labels());
      EXPECT_EQ(a[i].num_prompt, b[i].num_prompt);
      EXPECT_EQ(a[i].prompt, b[i].prompt);
      EXPECT_EQ(a[i].response, b[i].response);
    }
    EXPECT_EQ(a.counts().read, b.counts().read);
    EXPECT_EQ(a.counts().skipped, b.counts().skipped);
    EXPECT_EQ(a.facts().end_token, b.facts().end_token);
    EXPECT_EQ(a.facts().forms, b.facts().forms);
  }
  static bool tells(const Dataset& data, const char* what) {
    return data.describe().find(what) != std::string::npos;
  }

  std::string directory_;
  TokenCache cache_;
  config::DatasetRef ref_;
  config::DataRules rules_;
  Tokenizer tokenizer_ = Tokenizer::train({"hello world"}, 262, {"<|end|>", "<|sep|>"});
};

TEST_F(TokenCacheTest, SecondReadingIsMappedAndEqual) {
  const Dataset plain = read(false);
  const Dataset made = read();
  EXPECT_TRUE(tells(made, "tokens cached in"));
  const Dataset again = read();
  EXPECT_TRUE(tells(again, "tokens from the cache"));
  EXPECT_LT(again.memory_bytes(), 100U);
  expect_equal(plain, made);
  expect_equal(plain, again);
  EXPECT_EQ(files().size(), 1U);
  EXPECT_EQ(files(".lock").size() + files(".part").size(), 0U);
}

TEST_F(TokenCacheTest, WhateverChangesTokensChangesTheKey) {
  const std::string key = token_key(ref_, rules_, cache_);
  const auto differs = [&](const config::DatasetRef& ref, const config::DataRules& rules,
                           const TokenCache& cache) { return token_key(ref, rules, cache) != key; };
  config::DataRules rules = rules_;
  rules.set_max_length(7);
  EXPECT_TRUE(differs(ref_, rules, cache_));
  rules = rules_;
  rules.mutable_chat_template()->set_content("x");
  EXPECT_TRUE(differs(ref_, rules, cache_));
  TokenCache other = cache_;
  other.tokenizer_hash = "t2";
  EXPECT_TRUE(differs(ref_, rules_, other));
  config::DatasetRef ref = ref_;
  ref.set_limit(1);
  EXPECT_TRUE(differs(ref, rules_, cache_));
  ref = ref_;
  ref.set_name("held_out");  // the same tokens, whichever part is taken of them
  ref.set_held_out_part(true);
  rules = rules_;
  rules.set_eval_fraction(0.5);
  EXPECT_FALSE(differs(ref, rules, cache_));
  write("{\"text\": \"other\"}\n");
  EXPECT_TRUE(differs(ref_, rules_, cache_));
}

TEST_F(TokenCacheTest, DamagedFilesAreMadeAgainAndItIsSaid) {
  const Dataset plain = read(false);
  (void)read();
  const fs::path path = files().at(0);
  const std::string good = read_file(path.string());
  Random random(3, Purpose::kTest);
  for (int round = 0; round < 300; ++round) {
    std::string bad = good;
    switch (random.below(3)) {
      case 0:
        bad.resize(random.below(bad.size()));
        break;
      case 1:
        bad[random.below(bad.size())] ^= static_cast<char>(1 + random.below(255));
        break;
      default:
        bad.insert(random.below(bad.size()), 1 + random.below(9), 'x');
    }
    fs::remove(path);
    std::ofstream(path, std::ios::binary) << bad;
    const Dataset again = read();
    EXPECT_TRUE(tells(again, "the cached tokens were made again: it"));
    expect_equal(plain, again);
  }
  EXPECT_EQ(read_file(path.string()), good);
}

TEST_F(TokenCacheTest, ForeignIndexIsRefused) {
  (void)read();
  const fs::path path = files().at(0);
  std::string damage;
  EXPECT_FALSE(read_token_file(path.string(), "another key", &damage));
  EXPECT_EQ(damage, "it belongs to other data");
  damage.clear();
  EXPECT_FALSE(read_token_file(path.string() + ".none", "key", &damage));
  EXPECT_EQ(damage, "");
}

TEST_F(TokenCacheTest, ErrorsOfTheDataLeaveNothing) {
  rules_.set_on_bad_example(config::ON_BAD_EXAMPLE_ERROR);
  EXPECT_THROW((void)read(), Error);
  EXPECT_TRUE(fs::is_empty(cache_.directory));
}

TEST_F(TokenCacheTest, WithoutAPlaceTokensStayInMemory) {
  write_file_atomically(directory_ + "/cache", "a file is in the way");
  const Dataset data = read();
  EXPECT_TRUE(tells(data, "tokens are not cached"));
  expect_equal(read(false), data);
}

TEST_F(TokenCacheTest, WhatWasUnusedForLongestGoes) {
  const auto use = [&](int i) {
    write("{\"text\": \"number " + std::to_string(i) + "\"}\n");
    (void)read();
  };
  use(0);
  cache_.max_bytes = static_cast<std::int64_t>(fs::file_size(files().at(0))) * 5 / 2;
  const fs::path first = files().at(0);
  fs::last_write_time(first, fs::file_time_type::clock::now() - std::chrono::hours(1));
  use(1);
  EXPECT_EQ(files().size(), 2U);
  use(2);
  EXPECT_EQ(files().size(), 2U);
  EXPECT_FALSE(fs::exists(first));
}

TEST_F(TokenCacheTest, ProcessesThatWantTheSameMakeItOnce) {
  std::string lines;
  for (int i = 0; i < 3000; ++i) {
    lines += "{\"text\": \"example " + std::to_string(i) + "\"}\n";
  }
  write(lines);
  make_directories(cache_.directory);
  std::vector<pid_t> children;
  for (int i = 0; i < 4; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      const Dataset data = read();
      std::_Exit(data.size() == 3000 ? (tells(data, "tokens cached in") ? 1 : 0) : 2);
    }
    children.push_back(child);
  }
  int made = 0;
  for (const pid_t child : children) {
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_LT(WEXITSTATUS(status), 2);
    made += WEXITSTATUS(status);
  }
  EXPECT_EQ(made, 1);
  EXPECT_EQ(files().size(), 1U);
}

}  // namespace
}  // namespace finescale
