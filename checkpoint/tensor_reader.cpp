// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/tensor_reader.h"

#include <algorithm>

#include "checkpoint/claims.h"
#include "checkpoint/slabs.h"

namespace finescale {

namespace {

template <class From, class To>
void convert(const void* from, To* to, std::int64_t num_elements) {
  std::transform(static_cast<const From*>(from), static_cast<const From*>(from) + num_elements, to,
                 [](From value) { return static_cast<To>(value); });
}

[[noreturn]] void damaged(const StoredTensor& stored) {
  throw Error(ErrorKind::kCheckpoint,
              stored.path + " does not match its hash: the file is damaged");
}

}  // namespace

// Bytes [begin, end) of the tensor were read: part of one block.
void TensorReader::check(const StoredTensor& stored, std::int64_t begin, std::int64_t end,
                         const std::byte* bytes) {
  const auto size = static_cast<std::size_t>(end - begin);
  if (stored.first_block < 0) {
    hasher_->update(bytes, size);
    return;
  }
  const std::int64_t in_tensor = begin / kHashBlockBytes;
  const std::int64_t block = stored.first_block + in_tensor;
  touched_.insert(block);
  if (begin == in_tensor * kHashBlockBytes &&
      end == std::min(begin + kHashBlockBytes, stored.size_bytes())) {
    check_block(*stored_, block, hash_hex({reinterpret_cast<const char*>(bytes), size}));
    checked_.insert(block);
  }
}

// Bytes [begin, end) of the tensor, to elements of `local` from `first` on; block by block, so that
// hash and conversion find the bytes in the cache.
void TensorReader::read_run(const StoredTensor& stored, std::int64_t begin, std::int64_t end,
                            const TensorView& local, std::int64_t first) {
  const auto element = static_cast<std::int64_t>(dtype_size(stored.dtype));
  const bool same = stored.dtype == local.dtype;
  while (begin < end) {
    const std::int64_t stop = std::min(end, (begin / kHashBlockBytes + 1) * kHashBlockBytes);
    const std::int64_t count = (stop - begin) / element;
    if (!same) {
      scratch_.resize(static_cast<std::size_t>(kHashBlockBytes));
    }
    std::byte* bytes = same ? local.as<std::byte>() + first * element : scratch_.data();
    file_->read_at(bytes, static_cast<std::size_t>(stop - begin), stored.offset + begin);
    check(stored, begin, stop, bytes);
    if (!same && stored.dtype == DType::kF32) {
      convert<float>(bytes, local.as<double>() + first, count);
    } else if (!same) {
      convert<double>(bytes, local.as<float>() + first, count);
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
  for (const LocalPart& slab : slabs_of(tensor.part, tensor.begin, end_of(tensor))) {
    for_each_run(tensor.shape, slab, [&](std::int64_t first, std::int64_t count) {
      read_run(stored, first * element, (first + count) * element, tensor.local, done);
      done += count;
    });
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
