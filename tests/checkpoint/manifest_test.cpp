// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/manifest.h"

#include <unistd.h>

#include <filesystem>

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/files.h"

namespace finescale {
namespace {

class ManifestTest : public testing::Test {
 protected:
  std::string root_ = testing::TempDir() + "finescale_manifest_" + std::to_string(::getpid());
  void SetUp() override { make_directories(root_); }
  void TearDown() override { std::filesystem::remove_all(root_); }
  std::string make_attempt(const std::string& name, const std::string& content) {
    const std::string directory = root_ + "/" + name;
    make_directories(directory + "/deep");
    write_file_atomically(directory + "/weights.h5", content);
    write_file_atomically(directory + "/deep/rows.json", "[]");
    Manifest manifest;
    manifest.key = "k1";
    manifest.kind = "train";
    manifest.epoch = 7;
    (void)write_manifest(directory, manifest, {"weights.h5", "deep/rows.json"});
    return directory;
  }
};

TEST_F(ManifestTest, RoundTripKeepsEveryField) {
  const std::string directory = make_attempt("a", "abc");
  const Manifest manifest = read_manifest(directory);
  EXPECT_EQ(manifest.key, "k1");
  EXPECT_EQ(manifest.kind, "train");
  EXPECT_EQ(manifest.base_key, "");
  EXPECT_EQ(manifest.epoch, 7);
  ASSERT_EQ(manifest.files.size(), 2U);
  EXPECT_EQ(manifest.files[0].name, "weights.h5");
  EXPECT_EQ(manifest.files[0].size_bytes, 3);
  EXPECT_TRUE(verify_manifest(directory, true).empty());
}

TEST_F(ManifestTest, FlushedLaterIsTheSameArtifact) {
  const std::string now = make_attempt("a", "abc");
  const std::string later = make_attempt("b", "abc");
  Manifest manifest = read_manifest(now);
  const std::vector<std::string> files = {"weights.h5", "deep/rows.json"};
  EXPECT_EQ(write_manifest(later, manifest, files, Flush::kLater),
            write_manifest(now, manifest, files));
  EXPECT_TRUE(verify_manifest(later, true).empty());
  EXPECT_TRUE(publish_artifact(later, root_ + "/k1", Flush::kLater));
  EXPECT_TRUE(verify_manifest(root_ + "/k1", true).empty());
}

TEST_F(ManifestTest, OneFileCanBeCheckedBeforeItIsUsed) {
  const std::string directory = make_attempt("a", "abc");
  check_artifact_file(directory, "weights.h5");
  write_file_atomically(directory + "/weights.h5", "abd");
  EXPECT_THROW(check_artifact_file(directory, "weights.h5"), Error);
  check_artifact_file(directory, "deep/rows.json");
  EXPECT_THROW(check_artifact_file(directory, "another"), Error);
}

TEST_F(ManifestTest, AFileThatMayBeAbsentMustBeWholeWhereItIsThere) {
  const std::string directory = make_attempt("a", "abc");
  std::filesystem::remove(directory + "/weights.h5");
  EXPECT_FALSE(verify_manifest(directory, true).empty());
  EXPECT_TRUE(verify_manifest(directory, true, "weights.h5").empty());
  write_file_atomically(directory + "/weights.h5", "abd");
  EXPECT_FALSE(verify_manifest(directory, true, "weights.h5").empty());
}

TEST_F(ManifestTest, SameContentSameHash) {
  Manifest manifest;
  manifest.key = "k";
  const std::string a = make_attempt("a", "abc");
  const std::string b = make_attempt("b", "abc");
  EXPECT_EQ(write_manifest(a, manifest, {"weights.h5"}),
            write_manifest(b, manifest, {"weights.h5"}));
  manifest.epoch = 1;
  EXPECT_NE(write_manifest(a, manifest, {"weights.h5"}),
            write_manifest(b, Manifest{}, {"weights.h5"}));
}

TEST_F(ManifestTest, ShallowSeesSizeDeepSeesContent) {
  const std::string directory = make_attempt("a", "abc");
  write_file_atomically(directory + "/weights.h5", "abd");
  EXPECT_TRUE(verify_manifest(directory, false).empty());
  ASSERT_EQ(verify_manifest(directory, true).size(), 1U);
  EXPECT_NE(verify_manifest(directory, true)[0].find("weights.h5"), std::string::npos);
  write_file_atomically(directory + "/weights.h5", "abcd");
  EXPECT_EQ(verify_manifest(directory, false).size(), 1U);
  std::filesystem::remove(directory + "/deep/rows.json");
  EXPECT_EQ(verify_manifest(directory, false).size(), 2U);
}

TEST_F(ManifestTest, MissingOrMalformedIsACheckpointError) {
  const std::string directory = make_attempt("a", "abc");
  for (const std::string text :
       {"", "{", "[]", "{\"key\": 3}", "{\"format_version\": 2}",
        R"({"format_version":1,"key":"k","kind":"train","base_key":"","epoch":1,)"
        R"("files":[{"name":"../x","size_bytes":1,"xxh3_128":""}]})"}) {
    write_file_atomically(directory + "/manifest.json", text);
    try {
      (void)read_manifest(directory);
      FAIL() << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kCheckpoint);
      EXPECT_NE(error.where().find("manifest.json"), std::string::npos);
    }
  }
  std::filesystem::remove(directory + "/manifest.json");
  EXPECT_THROW((void)read_manifest(directory), Error);
  EXPECT_FALSE(verify_manifest(directory, false).empty());
}

TEST_F(ManifestTest, PublishHappensOnce) {
  make_directories(root_ + "/artifacts");
  const std::string artifact = root_ + "/artifacts/k1";
  EXPECT_TRUE(publish_artifact(make_attempt("a", "first"), artifact));
  EXPECT_FALSE(std::filesystem::exists(root_ + "/a"));
  EXPECT_FALSE(publish_artifact(make_attempt("b", "second"), artifact));
  EXPECT_EQ(read_file(artifact + "/weights.h5"), "first");
  EXPECT_TRUE(std::filesystem::exists(root_ + "/b"));
}

TEST_F(ManifestTest, PublishMovesABrokenArtifactAside) {
  make_directories(root_ + "/artifacts");
  const std::string artifact = root_ + "/artifacts/k1";
  for (const int n : {1, 2}) {
    std::filesystem::remove_all(artifact);
    make_directories(artifact);
    write_file_atomically(artifact + "/weights.h5", "torn");
    EXPECT_TRUE(publish_artifact(make_attempt("a", "good"), artifact));
    EXPECT_EQ(read_file(artifact + "/weights.h5"), "good");
    EXPECT_EQ(read_file(artifact + ".broken-" + std::to_string(n) + "/weights.h5"), "torn");
  }
}

TEST_F(ManifestTest, AnAttemptWithoutAGoodManifestIsNotPublished) {
  const std::string attempt = make_attempt("a", "abc");
  write_file_atomically(attempt + "/weights.h5", "truncat");
  EXPECT_THROW((void)publish_artifact(attempt, root_ + "/k1"), Error);
  EXPECT_FALSE(std::filesystem::exists(root_ + "/k1"));
}

}  // namespace
}  // namespace finescale
