// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/formats/gguf_writer.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>

#include "checkpoint/formats/gguf_bytes.h"
#include "checkpoint/formats/gguf_encode.h"
#include "checkpoint/formats/gguf_header.h"
#include "checkpoint/raw_file.h"
#include "core/error.h"
#include "core/files.h"
#include "core/hash.h"
#include "core/mapped_file.h"
#include "core/parallel.h"

namespace finescale {

namespace {

// Elements encoded and written at a time: a multiple of every block, 4 MiB of floats.
constexpr std::int64_t kElementsAtOnce = std::int64_t{1} << 20;

std::uint64_t aligned(std::uint64_t bytes) {
  return (bytes + kGgufDefaultAlignment - 1) / kGgufDefaultAlignment * kGgufDefaultAlignment;
}

std::uint64_t data_bytes(const GgufSource& source) {
  const GgufTypeInfo& type = gguf_type_info(source.type);
  return static_cast<std::uint64_t>(source.shape.num_elements() / type.block_elements *
                                    type.block_bytes);
}

// Appends to a file and remembers the hash of what it wrote.
class Output {
 public:
  explicit Output(const std::string& path) : file_(RawFile::create(path)) {}

  void append(std::string_view bytes) {
    file_.write_at(bytes.data(), bytes.size(), size_);
    hasher_.update(bytes);
    size_ += static_cast<std::int64_t>(bytes.size());
  }
  void pad() { append(std::string(aligned(size()) - size(), '\0')); }
  [[nodiscard]] std::uint64_t size() const { return static_cast<std::uint64_t>(size_); }
  [[nodiscard]] std::string finish() {
    file_.sync();
    return hasher_.hex();
  }
  void reserve(std::uint64_t bytes) { file_.reserve_space(static_cast<std::int64_t>(bytes)); }

 private:
  RawFile file_;
  Hasher hasher_;
  std::int64_t size_ = 0;
};

void append_tensor(const GgufSource& source, Output& out) {
  const GgufTypeInfo& type = gguf_type_info(source.type);
  const std::int64_t total = source.shape.num_elements();
  std::vector<float> values(static_cast<std::size_t>(std::min(kElementsAtOnce, total)));
  std::string encoded;
  for (std::int64_t begin = 0; begin < total; begin += kElementsAtOnce) {
    const std::int64_t end = std::min(total, begin + kElementsAtOnce);
    source.fill(begin, end, TensorView(values.data(), DType::kF32, {end - begin}));
    const std::int64_t blocks = (end - begin) / type.block_elements;
    encoded.resize(static_cast<std::size_t>(blocks * type.block_bytes));
    std::atomic<bool> finite = true;
    constexpr std::int64_t kGrain = 4096;  // elements worth waking a thread for
    parallel_for(blocks, kGrain / type.block_elements, [&](std::int64_t first, std::int64_t last) {
      auto* to = reinterpret_cast<std::byte*>(encoded.data()) + first * type.block_bytes;
      const float* from = values.data() + first * type.block_elements;
      if (!encode_gguf_blocks(source.type, from, last - first, to)) {
        finite = false;
      }
    });
    if (!finite) {
      throw Error(ErrorKind::kData,
                  "gguf: tensor " + source.name + " has values that " + type.name +
                      " cannot hold (not finite, or too large)",
                  {}, "choose --type f32, and look for a run that diverged");
    }
    out.append(encoded);
  }
}

void verify(const std::string& path, const std::string& hash, std::size_t tensors) {
  const MappedFile file(path);
  FS_CHECK(parse_gguf(file.bytes(), path).tensors.size() == tensors, "what was written is read");
  if (hash_hex(file.bytes()) != hash) {
    throw Error(ErrorKind::kIo, "the file reads back differently from what was written", path,
                "the disk or its memory is at fault: write elsewhere");
  }
}

// A file that is removed unless it got its name.
class Unfinished {
 public:
  explicit Unfinished(std::string path) : path_(std::move(path)) {}
  ~Unfinished() { ::unlink(path_.c_str()); }  // after the rename there is nothing
  Unfinished(const Unfinished&) = delete;
  Unfinished& operator=(const Unfinished&) = delete;

 private:
  std::string path_;
};

}  // namespace

std::string gguf_header_bytes(const GgufKeys& keys, const std::vector<GgufSource>& tensors) {
  std::string out(kGgufMagic);
  append_number(out, std::uint32_t{3});
  append_number(out, static_cast<std::uint64_t>(tensors.size()));
  append_number(out, keys.count());
  out += keys.bytes();
  std::uint64_t offset = 0;
  for (const GgufSource& source : tensors) {
    append_number(out, static_cast<std::uint64_t>(source.name.size()));
    out += source.name;
    append_number(out, static_cast<std::uint32_t>(source.shape.rank));
    for (int axis = source.shape.rank - 1; axis >= 0; --axis) {  // innermost first
      append_number(out, static_cast<std::uint64_t>(source.shape[axis]));
    }
    append_number(out, static_cast<std::uint32_t>(source.type));
    append_number(out, offset);
    offset = aligned(offset + data_bytes(source));
  }
  out.resize(aligned(out.size()), '\0');
  return out;
}

void write_gguf(const std::string& path, const GgufKeys& keys,
                const std::vector<GgufSource>& tensors) {
  const std::string beside = path + ".tmp." + std::to_string(::getpid());
  const Unfinished unfinished(beside);
  in_place(
      path,
      [&] {
        std::string hash;
        {
          Output out(beside);
          const std::string header = gguf_header_bytes(keys, tensors);
          std::uint64_t total = header.size();
          for (const GgufSource& source : tensors) {
            total += aligned(data_bytes(source));
          }
          out.reserve(total);
          out.append(header);
          for (const GgufSource& source : tensors) {
            append_tensor(source, out);
            out.pad();
          }
          hash = out.finish();
        }
        verify(beside, hash, tensors.size());
      },
      ErrorKind::kIo);
  rename_durably(beside, path);
}

}  // namespace finescale
