// SPDX-License-Identifier: Apache-2.0
// A GGUF file opened for reading: tensors by elements, and the metadata that says what they are.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "checkpoint/formats/gguf_header.h"
#include "checkpoint/formats/tensor_file.h"
#include "core/mapped_file.h"

namespace finescale {

class GgufFile final : public TensorFile {
 public:
  // Throws kData with the byte and the field of the first fault.
  explicit GgufFile(const std::string& path);

  [[nodiscard]] const std::vector<FileTensorInfo>& tensors() const override { return infos_; }
  void read(const FileTensorInfo& tensor, std::int64_t begin, std::int64_t end,
            const TensorView& out) const override;
  [[nodiscard]] const std::string& path() const override { return file_.path(); }

  [[nodiscard]] const GgufMetadata& metadata() const noexcept { return header_.metadata; }
  [[nodiscard]] const GgufHeader& header() const noexcept { return header_; }
  // Whether two tensors are of one type and shape, and equal byte for byte. False when one is
  // absent.
  [[nodiscard]] bool same_bytes(std::string_view a, std::string_view b) const;

 private:
  MappedFile file_;
  GgufHeader header_;                  // views of file_
  std::vector<FileTensorInfo> infos_;  // as header_.tensors
};

[[nodiscard]] std::unique_ptr<GgufFile> open_gguf(const std::string& path);
// By its first bytes, whatever its name; false when it cannot be read.
[[nodiscard]] bool is_gguf(const std::string& path);

// Elements [begin, end) of the flattened tensor whose blocks begin at tensor.offset of `file`.
void read_gguf(std::string_view file, const GgufTensor& tensor, std::int64_t begin,
               std::int64_t end, const TensorView& out);

}  // namespace finescale
