// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/manifest.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/files.h"
#include "core/hash.h"

namespace finescale {

namespace {

using OrderedJson = nlohmann::ordered_json;

std::string manifest_path(const std::string& directory) {
  return directory + "/manifest.json";
}

// A file of an artifact lies inside it: no absolute names, no way up.
bool is_inside(const std::string& name) {
  const std::filesystem::path path(name);
  if (name.empty() || path.is_absolute()) {
    return false;
  }
  for (const auto& part : path) {
    if (part == "..") {
      return false;
    }
  }
  return true;
}

// The folders between `directory` and the file, each of which holds the next name.
void sync_folders(const std::filesystem::path& directory, const std::string& name) {
  for (auto folder = std::filesystem::path(name).parent_path(); !folder.empty();
       folder = folder.parent_path()) {
    sync_directory((directory / folder).string());
  }
}

// What is wrong with the file at `path`; empty: nothing.
std::string problem_of(const std::string& path, const ManifestFile& file, bool deep) {
  std::error_code code;
  const auto size = std::filesystem::file_size(path, code);
  if (code) {
    return path + ": " + code.message();
  }
  if (std::cmp_not_equal(size, file.size_bytes)) {
    return path + ": has " + std::to_string(size) + " bytes, the manifest says " +
           std::to_string(file.size_bytes);
  }
  try {
    if (deep && hash_file(path) != file.hash) {
      return path + ": content does not match the hash in the manifest";
    }
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

OrderedJson to_json(const Manifest& manifest) {
  OrderedJson files = OrderedJson::array();
  for (const ManifestFile& file : manifest.files) {
    files.push_back(
        {{"name", file.name}, {"size_bytes", file.size_bytes}, {"xxh3_128", file.hash}});
  }
  return {{"format_version", manifest.format_version},
          {"key", manifest.key},
          {"kind", manifest.kind},
          {"base_key", manifest.base_key},
          {"epoch", manifest.epoch},
          {"files", std::move(files)}};
}

Manifest from_json(const OrderedJson& json) {
  Manifest manifest;
  json.at("format_version").get_to(manifest.format_version);
  json.at("key").get_to(manifest.key);
  json.at("kind").get_to(manifest.kind);
  json.at("base_key").get_to(manifest.base_key);
  json.at("epoch").get_to(manifest.epoch);
  for (const OrderedJson& entry : json.at("files")) {
    ManifestFile& file = manifest.files.emplace_back();
    entry.at("name").get_to(file.name);
    entry.at("size_bytes").get_to(file.size_bytes);
    entry.at("xxh3_128").get_to(file.hash);
  }
  return manifest;
}

}  // namespace

std::string write_manifest(const std::string& directory, Manifest manifest,
                           const std::vector<std::string>& files, Flush flush) {
  manifest.files.clear();
  for (const std::string& name : files) {
    FS_CHECK(is_inside(name), "a manifest lists files inside its directory, not " + name);
    const std::string path = (std::filesystem::path(directory) / name).string();
    ManifestFile& file = manifest.files.emplace_back();
    file.name = name;
    file.hash = hash_file(path);
    file.size_bytes = static_cast<std::int64_t>(std::filesystem::file_size(path));
    if (flush == Flush::kNow) {
      sync_file(path);
      sync_folders(directory, name);
    }
  }
  const std::string text = to_json(manifest).dump(2) + "\n";
  if (flush == Flush::kNow) {
    sync_directory(directory);
    write_file_atomically(manifest_path(directory), text);
  } else {
    write_file(manifest_path(directory), text);
  }
  return hash_hex(text);
}

Manifest read_manifest(const std::string& directory) {
  const std::string path = manifest_path(directory);
  std::string text;
  try {
    text = read_file(path);
  } catch (const Error& error) {
    throw Error(ErrorKind::kCheckpoint, "an artifact without a manifest: " + error.message(), path);
  }
  try {
    Manifest manifest = from_json(OrderedJson::parse(text));
    if (manifest.format_version != 1) {
      throw Error(ErrorKind::kCheckpoint,
                  "manifest has format version " + std::to_string(manifest.format_version) +
                      ", this program reads version 1",
                  path, "use the version of finescale that wrote it");
    }
    for (const ManifestFile& file : manifest.files) {
      if (!is_inside(file.name)) {
        throw Error(ErrorKind::kCheckpoint,
                    "manifest names a file outside of its artifact: " + file.name, path);
      }
    }
    return manifest;
  } catch (const OrderedJson::exception& error) {
    throw Error(ErrorKind::kCheckpoint, std::string("malformed manifest: ") + error.what(), path);
  }
}

void check_artifact_file(const std::string& directory, const std::string& name) {
  const Manifest manifest = read_manifest(directory);
  const auto file = std::find_if(manifest.files.begin(), manifest.files.end(),
                                 [&](const ManifestFile& one) { return one.name == name; });
  const std::string path = directory + "/" + name;
  if (file == manifest.files.end()) {
    throw Error(ErrorKind::kCheckpoint, "the manifest of the artifact does not name it", path);
  }
  if (const std::string problem = problem_of(path, *file, true); !problem.empty()) {
    throw Error(ErrorKind::kCheckpoint, problem);
  }
}

std::vector<std::string> verify_manifest(const std::string& directory, bool deep,
                                         const std::string& may_be_absent) {
  Manifest manifest;
  try {
    manifest = read_manifest(directory);
  } catch (const Error& error) {
    return {error.what()};
  }
  std::vector<std::string> problems;
  for (const ManifestFile& file : manifest.files) {
    const std::string path = directory + "/" + file.name;
    if (file.name == may_be_absent && !path_exists(path)) {
      continue;
    }
    std::string problem = problem_of(path, file, deep);
    if (!problem.empty()) {
      problems.push_back(std::move(problem));
    }
  }
  return problems;
}

}  // namespace finescale
