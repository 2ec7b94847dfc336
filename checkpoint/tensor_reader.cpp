// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/tensor_reader.h"

#include <algorithm>
#include <cstring>

#include "checkpoint/claims.h"
#include "checkpoint/slabs.h"

namespace finescale {

namespace {

// Bytes from a message or a file lie at any address.
template <class From, class To>
void convert(const std::byte* from, To* to, std::int64_t num_elements) {
  for (std::int64_t i = 0; i < num_elements; ++i) {
    From value;
    std::memcpy(&value, from + i * static_cast<std::int64_t>(sizeof(From)), sizeof(From));
    to[i] = static_cast<To>(value);
  }
}

[[noreturn]] void damaged(const StoredTensor& stored) {
  throw Error(ErrorKind::kCheckpoint,
              stored.path + " does not match its hash: the file is damaged");
}

}  // namespace

void copy_elements(const std::byte* from, DType stored, const TensorView& local, std::int64_t first,
                   std::int64_t count) {
  if (stored == local.dtype) {
    const std::size_t element = dtype_size(stored);
    std::memcpy(local.as<std::byte>() + static_cast<std::size_t>(first) * element, from,
                static_cast<std::size_t>(count) * element);
  } else if (stored == DType::kF32) {
    convert<float>(from, local.as<double>() + first, count);
  } else {
    convert<double>(from, local.as<float>() + first, count);
  }
}

// Bytes [begin, end) of the tensor, to its local elements from `first` on; block by block, so that
// hash and conversion find the bytes in the cache.
void TensorReader::read_run(const StoredTensor& stored, std::int64_t begin, std::int64_t end,
                            const CheckpointTensor& to, std::int64_t first) {
  const TensorView& local = to.local;
  const auto element = static_cast<std::int64_t>(dtype_size(stored.dtype));
  const std::size_t own = dtype_size(local.dtype);
  const bool same = stored.dtype == local.dtype;
  scratch_.resize(same ? 0 : static_cast<std::size_t>(kHashBlockBytes));
  while (begin < end) {
    const std::int64_t block = begin / kHashBlockBytes;
    const std::int64_t block_end = std::min((block + 1) * kHashBlockBytes, stored.size_bytes());
    const std::int64_t stop = std::min(end, block_end);
    const std::int64_t count = (stop - begin) / element;
    const auto size = static_cast<std::size_t>(stop - begin);
    const bool whole = begin == block * kHashBlockBytes && stop == block_end;
    if (stored.first_block >= 0 && !whole) {
      partial_.insert(stored.first_block + block);
    } else {
      std::byte* bytes = same ? local.as<std::byte>() + first * element : scratch_.data();
      file_->read_at(bytes, size, stored.offset + begin);
      if (stored.first_block < 0) {
        hasher_->update(bytes, size);
      } else {
        check_block(*stored_, stored.first_block + block,
                    hash_hex({reinterpret_cast<const char*>(bytes), size}));
      }
      if (!same) {
        copy_elements(bytes, stored.dtype, local, first, count);
      }
      if (to.file != nullptr) {
        to.file->drop({local.as<std::byte>() + static_cast<std::size_t>(first) * own,
                       static_cast<std::size_t>(count) * own});
      }
    }
    first += count;
    begin = stop;
  }
}

void TensorReader::read(const CheckpointTensor& tensor) {
  const StoredTensor& stored = *stored_->find(tensor.path);
  const auto element = static_cast<std::int64_t>(dtype_size(stored.dtype));
  hasher_.emplace();
  std::int64_t done = 0;
  for (const LocalPart& slab : hyperslabs_of(tensor.part, tensor.begin, end_of(tensor))) {
    const Runs runs(tensor.shape, slab);
    for (std::int64_t i = 0; i < runs.count(); ++i) {
      const std::int64_t first = runs.first(i) * element;
      read_run(stored, first, first + runs.length() * element, tensor, done);
      done += runs.length();
    }
  }
  if (stored.first_block < 0 && done == stored.shape.num_elements() &&
      hasher_->hex() != stored.hash) {
    damaged(stored);
  }
}

void verify_tensor(const RawFile& file, const StoredTensor& stored) {
  std::vector<std::byte> block(static_cast<std::size_t>(kHashBlockBytes));
  Hasher hasher;
  for (std::int64_t begin = 0; begin < stored.size_bytes(); begin += kHashBlockBytes) {
    const auto size =
        static_cast<std::size_t>(std::min(kHashBlockBytes, stored.size_bytes() - begin));
    file.read_at(block.data(), size, stored.offset + begin);
    hasher.update(block.data(), size);
  }
  if (hasher.hex() != stored.hash) {
    damaged(stored);
  }
}

}  // namespace finescale
