// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/formats/safetensors.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "checkpoint/formats/half.h"
#include "checkpoint/formats/safetensors_index.h"
#include "core/error.h"
#include "core/files.h"
#include "core/paged_memory.h"

namespace finescale {

namespace {

static_assert(std::endian::native == std::endian::little, "files are little-endian");

// Data may lie at any address: older files do not align it.
template <class Stored, class Out, class Convert>
void widen(const char* from, std::int64_t count, Out* out, const Convert& convert) {
  for (std::int64_t i = 0; i < count; ++i) {
    Stored value;
    std::memcpy(&value, from + i * static_cast<std::int64_t>(sizeof value), sizeof value);
    out[i] = static_cast<Out>(convert(value));
  }
}

// False when the type holds no real numbers.
template <class Out>
bool widen(std::string_view dtype, const char* from, std::int64_t count, Out* out) {
  const auto same = [](auto value) { return value; };
  constexpr bool kWide = sizeof(Out) == sizeof(double);
  if (dtype == (kWide ? "F64" : "F32")) {
    std::memcpy(out, from, static_cast<std::size_t>(count) * sizeof(Out));
  } else if (dtype == "F32") {
    widen<float>(from, count, out, same);
  } else if (dtype == "F64") {
    widen<double>(from, count, out, same);
  } else if (dtype == "BF16") {
    widen<std::uint16_t>(from, count, out, from_bf16);
  } else if (dtype == "F16") {
    widen<std::uint16_t>(from, count, out, from_f16);
  } else {
    return false;
  }
  return true;
}

Error not_in_shard(const SafetensorsIndex& index, const std::string& tensor,
                   const std::string& file) {
  return {ErrorKind::kData,
          "the index names tensor " + tensor + " in " + file + ", but no shard has it",
          index.path + ": weight_map." + tensor, "get the shards again"};
}

}  // namespace

SafetensorsFile::SafetensorsFile(std::string path, const std::vector<std::string>& files)
    : path_(std::move(path)) {
  struct Found {
    FileTensorInfo info;
    std::string_view bytes;
  };
  std::vector<Found> found;
  for (const std::string& name : files) {
    files_.push_back(std::make_unique<MappedFile>(name));
    const std::string_view all = files_.back()->bytes();
    SafetensorsHeader header = parse_safetensors_header(all, name);
    for (SafetensorsEntry& entry : header.entries) {
      found.push_back({std::move(entry.info), all.substr(entry.begin, entry.end - entry.begin)});
    }
    if (files_.size() == 1) {
      metadata_ = std::move(header.metadata);
    }
  }
  std::sort(found.begin(), found.end(),
            [](const Found& a, const Found& b) { return a.info.name < b.info.name; });
  for (Found& tensor : found) {
    if (!infos_.empty() && infos_.back().name == tensor.info.name) {
      throw Error(ErrorKind::kData, "two shards have the tensor " + tensor.info.name, path_,
                  "keep the shards of one model only");
    }
    infos_.push_back(std::move(tensor.info));
    bytes_.push_back(tensor.bytes);
  }
}

std::string_view SafetensorsFile::bytes(const FileTensorInfo& tensor) const {
  const std::ptrdiff_t index = &tensor - infos_.data();
  FS_CHECK(index >= 0 && index < std::ssize(infos_), "a tensor of this file");
  return bytes_[static_cast<std::size_t>(index)];
}

void SafetensorsFile::read(const FileTensorInfo& tensor, std::int64_t begin, std::int64_t end,
                           const TensorView& out) const {
  FS_CHECK(0 <= begin && begin <= end && end <= tensor.shape.num_elements(), tensor.name);
  FS_CHECK(out.num_elements() == end - begin && out.is_dense(), tensor.name);
  if (begin == end) {
    return;
  }
  const std::string_view all = bytes(tensor);
  const std::int64_t bits = safetensors_bits(tensor.dtype);
  const char* from = all.data() + begin * bits / 8;
  const bool is_real = out.dtype == DType::kF64
                           ? widen(tensor.dtype, from, end - begin, out.as<double>())
                           : widen(tensor.dtype, from, end - begin, out.as<float>());
  if (!is_real) {
    throw Error(ErrorKind::kData,
                "tensor " + tensor.name + " is of type " + tensor.dtype +
                    ", weights must be F32, F16, BF16 or F64",
                path_, "quantised models are read from GGUF files");
  }
  constexpr std::int64_t kLarge = 1 << 20;  // the file's pages are not held beside what was read
  if (const std::int64_t size = (end - begin) * bits / 8; size >= kLarge) {
    release_pages(from, static_cast<std::size_t>(size));
  }
}

std::vector<std::string> safetensors_files(const std::string& directory) {
  const std::string single = directory + "/model.safetensors";
  if (path_exists(single)) {
    return {single};
  }
  std::vector<std::string> files;
  for (const std::string& name : read_safetensors_index(directory).files()) {
    files.push_back(std::string(directory).append("/").append(name));
  }
  return files;
}

std::unique_ptr<SafetensorsFile> open_safetensors(const std::string& path_or_directory) {
  if (!path_is_directory(path_or_directory)) {
    return std::make_unique<SafetensorsFile>(path_or_directory,
                                             std::vector<std::string>{path_or_directory});
  }
  const std::string single = path_or_directory + "/model.safetensors";
  if (path_exists(single)) {
    return std::make_unique<SafetensorsFile>(single, std::vector<std::string>{single});
  }
  const SafetensorsIndex index = read_safetensors_index(path_or_directory);
  auto model =
      std::make_unique<SafetensorsFile>(path_or_directory, safetensors_files(path_or_directory));
  for (const auto& [tensor, file] : index.weight_map) {
    if (model->find(tensor) == nullptr) {
      throw not_in_shard(index, tensor, file);
    }
  }
  return model;
}

}  // namespace finescale
