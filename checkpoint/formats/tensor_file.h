// SPDX-License-Identifier: Apache-2.0
// A model's files opened for reading: named tensors in memory-mapped files, whatever their format.
// Everything that a file says is validated when it is opened. Any number of threads may read.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/tensor.h"

namespace finescale {

struct FileTensorInfo {
  std::string name;
  std::string dtype;  // as the format spells it: F32, BF16, Q4_K, ...
  Shape shape;        // row-major, outermost first, whatever the order in the file
};

class TensorFile {
 public:
  virtual ~TensorFile() = default;
  TensorFile() = default;
  TensorFile(const TensorFile&) = delete;
  TensorFile& operator=(const TensorFile&) = delete;

  // Sorted by name.
  [[nodiscard]] virtual const std::vector<FileTensorInfo>& tensors() const = 0;
  // Null when there is none.
  [[nodiscard]] const FileTensorInfo* find(std::string_view name) const;
  // Elements [begin, end) of the flattened tensor, widened to the type of `out` (dense, f32 or f64,
  // end - begin elements). Touches only the pages that hold them. `tensor` is one of tensors().
  // Throws kData for a type that holds no real numbers.
  virtual void read(const FileTensorInfo& tensor, std::int64_t begin, std::int64_t end,
                    const TensorView& out) const = 0;
  // What messages name: the file, or the directory of a sharded model.
  [[nodiscard]] virtual const std::string& path() const = 0;
};

}  // namespace finescale
