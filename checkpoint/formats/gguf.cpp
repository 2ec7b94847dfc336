// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/formats/gguf.h"

#include <algorithm>
#include <array>
#include <fstream>

#include "checkpoint/formats/gguf_decode.h"
#include "core/error.h"
#include "core/parallel.h"

namespace finescale {

namespace {

constexpr std::int64_t kMostBlockElements = 256;
constexpr std::int64_t kGrainBlocks = 128;  // 32768 elements take some 20 us: worth a thread

// Whole blocks go straight to `out`; of the first and the last a part may be wanted.
void read_floats(const std::byte* blocks, const GgufTypeInfo& type, std::int64_t begin,
                 std::int64_t end, float* out) {
  std::array<float, kMostBlockElements> block;
  std::int64_t at = begin;
  while (at < end) {
    const std::int64_t index = at / type.block_elements;
    const std::int64_t inside = at % type.block_elements;
    const std::byte* from = blocks + index * type.block_bytes;
    const std::int64_t whole = inside == 0 ? (end - at) / type.block_elements : 0;
    std::int64_t count = whole * type.block_elements;
    if (whole > 0) {
      decode_gguf_blocks(type.type, from, whole, out);
    } else {
      count = std::min(type.block_elements - inside, end - at);
      decode_gguf_blocks(type.type, from, 1, block.data());
      std::copy_n(block.data() + inside, count, out);
    }
    at += count;
    out += count;
  }
}

}  // namespace

void read_gguf(std::string_view file, const GgufTensor& tensor, std::int64_t begin,
               std::int64_t end, const TensorView& out) {
  FS_CHECK(begin >= 0 && begin <= end && end <= tensor.shape.num_elements(), tensor.name);
  FS_CHECK(out.is_dense() && out.num_elements() == end - begin, tensor.name);
  const auto* blocks = reinterpret_cast<const std::byte*>(file.data()) + tensor.offset;
  if (out.dtype == DType::kF32) {
    read_floats(blocks, *tensor.type, begin, end, out.as<float>());
    return;
  }
  FS_CHECK(out.dtype == DType::kF64, "tensors of files are read as f32 or f64");
  std::array<float, 4 * kMostBlockElements> some;
  for (std::int64_t at = begin; at < end;) {
    const std::int64_t next = std::min(end, (at / kMostBlockElements + 4) * kMostBlockElements);
    read_floats(blocks, *tensor.type, at, next, some.data());
    std::copy_n(some.data(), next - at, out.as<double>() + (at - begin));
    at = next;
  }
}

GgufFile::GgufFile(const std::string& path)
    : file_(path), header_(parse_gguf(file_.bytes(), file_.path())) {
  for (const GgufTensor& tensor : header_.tensors) {
    infos_.push_back({tensor.name, tensor.type->name, tensor.shape});
  }
}

void GgufFile::read(const FileTensorInfo& tensor, std::int64_t begin, std::int64_t end,
                    const TensorView& out) const {
  const auto index = static_cast<std::size_t>(&tensor - infos_.data());
  FS_CHECK(index < infos_.size(), "the tensor is not of this file: " + tensor.name);
  FS_CHECK(out.is_dense() && out.num_elements() == end - begin, tensor.name);
  // Large reads use every thread, for the memory that they touch first as much as for decoding.
  // Pieces are whole blocks; in a thread of a team this is a plain loop.
  const std::int64_t first = begin / kMostBlockElements;
  const std::int64_t last = (end + kMostBlockElements - 1) / kMostBlockElements;
  parallel_for(last - first, kGrainBlocks, [&](std::int64_t from, std::int64_t to) {
    const std::int64_t piece_begin = std::max(begin, (first + from) * kMostBlockElements);
    const std::int64_t piece_end = std::min(end, (first + to) * kMostBlockElements);
    auto* at = out.as<std::byte>() +
               (piece_begin - begin) * static_cast<std::int64_t>(dtype_size(out.dtype));
    read_gguf(file_.bytes(), header_.tensors[index], piece_begin, piece_end,
              TensorView(at, out.dtype, {piece_end - piece_begin}));
  });
}

bool GgufFile::same_bytes(std::string_view a, std::string_view b) const {
  const FileTensorInfo* first = find(a);
  const FileTensorInfo* second = find(b);
  if (first == nullptr || second == nullptr) {
    return false;
  }
  const GgufTensor& x = header_.tensors[static_cast<std::size_t>(first - infos_.data())];
  const GgufTensor& y = header_.tensors[static_cast<std::size_t>(second - infos_.data())];
  return x.type == y.type && x.shape == y.shape &&
         file_.bytes().substr(x.offset, x.size_bytes()) ==
             file_.bytes().substr(y.offset, y.size_bytes());
}

std::unique_ptr<GgufFile> open_gguf(const std::string& path) {
  return std::make_unique<GgufFile>(path);
}

bool is_gguf(const std::string& path) {
  std::array<char, kGgufMagic.size()> first{};
  std::ifstream file(path, std::ios::binary);
  return file.read(first.data(), first.size()) &&
         std::string_view(first.data(), first.size()) == kGgufMagic;
}

}  // namespace finescale
