// SPDX-License-Identifier: Apache-2.0
// Writes safetensors: each file is whole under its name, or absent, and was read again before.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/tensor.h"

namespace finescale {

enum class StoredType { kF32, kF64, kF16, kBf16 };

struct TensorToWrite {
  std::string name;
  Shape shape;
  // Puts elements [begin, end) of the flattened tensor into `out`: f64 for kF64, else f32. Asked
  // for front to back.
  std::function<void(std::int64_t begin, std::int64_t end, const TensorView& out)> fill;
};

// Replaces the file at `path`. Throws kData naming the tensor whose values the type cannot hold,
// kIo when what is read back differs, kResource when there is no space.
void write_safetensors(const std::string& path, std::vector<TensorToWrite> tensors,
                       StoredType type);

// model.safetensors, or above max_file_bytes of data model-00001-of-0000N.safetensors and the
// index, in a directory that exists.
void write_safetensors_model(const std::string& directory, std::vector<TensorToWrite> tensors,
                             StoredType type, std::uint64_t max_file_bytes);

}  // namespace finescale
