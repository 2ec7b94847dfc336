// SPDX-License-Identifier: Apache-2.0
// manifest.json of an artifact: every file with its size and XXH3-128, the stage key, the lease
// epoch and the format version. Needs no HDF5, so the coordinator reads it. An artifact without a
// good manifest does not exist.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace finescale {

struct ManifestFile {
  std::string name;
  std::int64_t size_bytes = 0;
  std::string hash;
};
struct Manifest {
  int format_version = 1;
  std::string key;
  std::string kind;      // prepare, train, evaluate
  std::string base_key;  // adapters: artifact of the frozen base; else empty
  std::int64_t epoch = 0;
  std::vector<ManifestFile> files;
};

// Who flushes: this call, or its caller for many artifacts at once, before anybody is told of them.
enum class Flush { kNow, kLater };

// Hashes the named files of `directory`, fsyncs them, and writes manifest.json atomically last.
// Returns its hash.
std::string write_manifest(const std::string& directory, Manifest manifest,
                           const std::vector<std::string>& files, Flush flush = Flush::kNow);
[[nodiscard]] Manifest read_manifest(
    const std::string& directory);  // throws kCheckpoint: missing or malformed
// Throws kCheckpoint when this file of an artifact is not what its manifest says: before it is
// used.
void check_artifact_file(const std::string& directory, const std::string& name);
// Empty when every file has its size and (deep) its hash; else one line per problem.
// `may_be_absent`: this file need not be there.
[[nodiscard]] std::vector<std::string> verify_manifest(const std::string& directory, bool deep,
                                                       const std::string& may_be_absent = "");
// The commit: renames the attempt's directory to artifacts/<key> and fsyncs the two directories
// that hold the names. False when that artifact is already there.
bool publish_artifact(const std::string& attempt_dir, const std::string& artifact_dir,
                      Flush flush = Flush::kNow);

}  // namespace finescale
