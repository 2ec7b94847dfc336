// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/formats/safetensors_writer.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>
#include <utility>

#include <nlohmann/json.hpp>

#include "checkpoint/formats/half.h"
#include "checkpoint/formats/safetensors.h"
#include "checkpoint/formats/safetensors_index.h"
#include "checkpoint/raw_file.h"
#include "core/error.h"
#include "core/files.h"
#include "core/hash.h"

namespace finescale {

namespace {

// Elements asked for at a time: several of the blocks of 1 MiB that a checkpoint reads and checks
// whole.
constexpr std::int64_t kWrittenAtOnce = std::int64_t{1} << 20;

const char* type_name(StoredType type) {
  switch (type) {
    case StoredType::kF32:
      return "F32";
    case StoredType::kF64:
      return "F64";
    case StoredType::kF16:
      return "F16";
    case StoredType::kBf16:
      return "BF16";
  }
  return "";
}

std::uint64_t bytes_of(const TensorToWrite& tensor, StoredType type) {
  return static_cast<std::uint64_t>(tensor.shape.num_elements()) *
         static_cast<std::uint64_t>(safetensors_bits(type_name(type))) / 8;
}

class FileWriter {
 public:
  FileWriter(std::string path, std::vector<TensorToWrite> tensors, StoredType type)
      : path_(std::move(path)),
        beside_(path_ + ".tmp." + std::to_string(::getpid())),
        tensors_(std::move(tensors)),
        type_(type) {
    std::sort(tensors_.begin(), tensors_.end(),
              [](const TensorToWrite& a, const TensorToWrite& b) { return a.name < b.name; });
  }
  ~FileWriter() {
    std::error_code code;  // nothing there after commit()
    std::filesystem::remove(beside_, code);
  }
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;

  void write() {
    in_place(
        path_,
        [&] {
          const std::string header = header_bytes();
          RawFile file = RawFile::create(beside_);
          file.reserve_space(static_cast<std::int64_t>(header.size() + data_bytes_));
          file.write_at(header.data(), header.size(), 0);
          auto offset = static_cast<std::int64_t>(header.size());
          for (const TensorToWrite& tensor : tensors_) {
            write_tensor(file, tensor, offset);
          }
          file.sync();
        },
        ErrorKind::kIo);
    verify();
    rename_durably(beside_, path_);
  }

 private:
  // Padded so that the data begins at a multiple of eight, as the reference writer does.
  std::string header_bytes() {
    nlohmann::ordered_json json;
    json["__metadata__"] = {{"format", "pt"}};  // transformers refuses files without it
    for (const TensorToWrite& tensor : tensors_) {
      std::vector<std::int64_t> shape(tensor.shape.dims.begin(),
                                      tensor.shape.dims.begin() + tensor.shape.rank);
      const std::uint64_t end = data_bytes_ + bytes_of(tensor, type_);
      json[tensor.name] = {
          {"dtype", type_name(type_)}, {"shape", shape}, {"data_offsets", {data_bytes_, end}}};
      data_bytes_ = end;
    }
    std::string text = json.dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');
    std::string length(8, '\0');
    for (std::size_t i = 0; i < 8; ++i) {
      length[i] = static_cast<char>(text.size() >> (8 * i));
    }
    return length + text;
  }

  void write_tensor(RawFile& file, const TensorToWrite& tensor, std::int64_t& offset) {
    const DType dtype = type_ == StoredType::kF64 ? DType::kF64 : DType::kF32;
    const std::int64_t count = tensor.shape.num_elements();
    Hasher hasher;
    for (std::int64_t begin = 0; begin < count; begin += kWrittenAtOnce) {
      const std::int64_t end = std::min(count, begin + kWrittenAtOnce);
      values_.resize(static_cast<std::size_t>(end - begin));
      tensor.fill(begin, end, TensorView(values_.data(), dtype, Shape{end - begin}));
      const std::size_t size = convert(tensor, end - begin);
      const void* bytes = narrow_.empty() ? static_cast<const void*>(values_.data())
                                          : static_cast<const void*>(narrow_.data());
      hasher.update(bytes, size);
      file.write_at(bytes, size, offset);
      offset += static_cast<std::int64_t>(size);
    }
    hashes_.push_back(hasher.hex());
  }

  // Returns the bytes of the chunk, which lie in narrow_ when the type has 16 bits.
  std::size_t convert(const TensorToWrite& tensor, std::int64_t count) {
    const auto n = static_cast<std::size_t>(count);
    if (type_ == StoredType::kF64 || type_ == StoredType::kF32) {
      return n * (type_ == StoredType::kF64 ? sizeof(double) : sizeof(float));
    }
    const auto* values = reinterpret_cast<const float*>(values_.data());
    narrow_.resize(n);
    for (std::size_t i = 0; i < n; ++i) {
      narrow_[i] = type_ == StoredType::kF16 ? to_f16(values[i]) : to_bf16(values[i]);
      const bool lost = type_ == StoredType::kF16 && (narrow_[i] & 0x7fffU) == 0x7c00U;
      if (lost && std::isfinite(values[i])) {
        throw Error(ErrorKind::kData,
                    "tensor " + tensor.name + " has the value " + std::to_string(values[i]) +
                        ", which f16 cannot hold",
                    path_, "export as bf16 or f32");
      }
    }
    return n * sizeof(std::uint16_t);
  }

  void verify() const {
    const SafetensorsFile again(beside_, {beside_});
    bool equal = again.tensors().size() == tensors_.size();
    for (std::size_t i = 0; equal && i < tensors_.size(); ++i) {
      const FileTensorInfo& info = again.tensors()[i];
      equal = info.name == tensors_[i].name && info.shape == tensors_[i].shape &&
              hash_hex(again.bytes(info)) == hashes_[i];
    }
    if (!equal) {
      throw Error(ErrorKind::kIo, "what was read back is not what was written", path_,
                  "check the disk");
    }
  }

  std::string path_;
  std::string beside_;
  std::vector<TensorToWrite> tensors_;
  StoredType type_;
  std::uint64_t data_bytes_ = 0;
  std::vector<double> values_;  // a chunk: room for f64
  std::vector<std::uint16_t> narrow_;
  std::vector<std::string> hashes_;  // of the tensors' bytes
};

std::string shard_name(std::size_t index, std::size_t count) {
  char name[64];
  std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", index + 1, count);
  return name;
}

}  // namespace

void write_safetensors(const std::string& path, std::vector<TensorToWrite> tensors,
                       StoredType type) {
  FileWriter(path, std::move(tensors), type).write();
}

void write_safetensors_model(const std::string& directory, std::vector<TensorToWrite> tensors,
                             StoredType type, std::uint64_t max_file_bytes) {
  std::vector<std::vector<TensorToWrite>> shards(1);
  std::uint64_t total = 0;
  std::uint64_t in_shard = 0;
  for (TensorToWrite& tensor : tensors) {
    const std::uint64_t size = bytes_of(tensor, type);
    if (in_shard > 0 && in_shard + size > max_file_bytes) {
      shards.emplace_back();
      in_shard = 0;
    }
    in_shard += size;
    total += size;
    shards.back().push_back(std::move(tensor));
  }
  if (shards.size() == 1) {
    return write_safetensors(directory + "/model.safetensors", std::move(shards.front()), type);
  }
  std::map<std::string, std::string> weight_map;
  for (std::size_t i = 0; i < shards.size(); ++i) {
    const std::string name = shard_name(i, shards.size());
    for (const TensorToWrite& tensor : shards[i]) {
      weight_map[tensor.name] = name;
    }
    write_safetensors(std::string(directory).append("/").append(name), std::move(shards[i]), type);
  }
  write_file_atomically(directory + "/model.safetensors.index.json",
                        safetensors_index_text(weight_map, total));
}

}  // namespace finescale
