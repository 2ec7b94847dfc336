// SPDX-License-Identifier: Apache-2.0
// Safetensors files opened for reading: one file, or the shards of a directory with their index.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/formats/safetensors_header.h"
#include "checkpoint/formats/tensor_file.h"
#include "core/mapped_file.h"

namespace finescale {

class SafetensorsFile final : public TensorFile {
 public:
  // Several files are one model: a name may occur in one of them only. `path` is what messages
  // name. Throws kData with the byte and the field of the first fault.
  SafetensorsFile(std::string path, const std::vector<std::string>& files);

  [[nodiscard]] const std::vector<FileTensorInfo>& tensors() const override { return infos_; }
  void read(const FileTensorInfo& tensor, std::int64_t begin, std::int64_t end,
            const TensorView& out) const override;
  [[nodiscard]] const std::string& path() const override { return path_; }

  // The tensor as it is stored.
  [[nodiscard]] std::string_view bytes(const FileTensorInfo& tensor) const;
  // __metadata__ of the first file.
  [[nodiscard]] const std::map<std::string, std::string>& metadata() const noexcept {
    return metadata_;
  }

 private:
  std::string path_;
  std::vector<std::unique_ptr<MappedFile>> files_;
  std::vector<FileTensorInfo> infos_;
  std::vector<std::string_view> bytes_;  // of infos_, in the same order
  std::map<std::string, std::string> metadata_;
};

// The files of a directory's model, absolute, shards in the order of their names:
// model.safetensors, else what model.safetensors.index.json names. Throws kData when there is
// neither, or the index is wrong.
[[nodiscard]] std::vector<std::string> safetensors_files(const std::string& directory);

// A file, or a directory as above; what the index says of shards is checked against them.
[[nodiscard]] std::unique_ptr<SafetensorsFile> open_safetensors(
    const std::string& path_or_directory);

}  // namespace finescale
