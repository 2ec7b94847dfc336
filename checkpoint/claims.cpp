// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/claims.h"

#include <algorithm>
#include <cstring>
#include <span>

#include "checkpoint/slabs.h"
#include "core/error.h"

namespace finescale {

namespace {

struct Slab {
  int rank = 0;
  LocalPart part;

  [[nodiscard]] std::int64_t end(int axis) const { return part.offset[axis] + part.shape[axis]; }
};

bool overlap(const Slab& a, const Slab& b) {
  for (int axis = 0; axis < a.part.shape.rank; ++axis) {
    if (a.end(axis) <= b.part.offset[axis] || b.end(axis) <= a.part.offset[axis]) {
      return false;
    }
  }
  return true;
}

// A sweep along `axis` compares only slabs that share a row.
void check_disjoint(const std::string& path, int axis, std::vector<Slab>& slabs) {
  std::sort(slabs.begin(), slabs.end(), [&](const Slab& a, const Slab& b) {
    return a.part.offset[axis] < b.part.offset[axis];
  });
  std::vector<const Slab*> active;
  for (const Slab& slab : slabs) {
    std::erase_if(active,
                  [&](const Slab* other) { return other->end(axis) <= slab.part.offset[axis]; });
    const auto other = std::find_if(active.begin(), active.end(),
                                    [&](const Slab* before) { return overlap(*before, slab); });
    FS_CHECK(other == active.end(),
             path + ": " + slab.part.shape.text() + " at " + slab.part.offset.text() +
                 " is written by several ranks or twice: " + std::to_string((*other)->rank) +
                 " and " + std::to_string(slab.rank));
    active.push_back(&slab);
  }
}

// Disjoint slabs as large as the whole together cover it.
void check_cover(const std::string& path, const Shape& shape, std::vector<Slab>& slabs) {
  int axis = 0;  // the first one that can be cut
  while (axis + 1 < shape.rank && shape[axis] == 1) {
    ++axis;
  }
  check_disjoint(path, axis, slabs);
  std::int64_t written = 0;
  for (const Slab& slab : slabs) {
    written += slab.part.shape.num_elements();
  }
  const std::int64_t total = shape.num_elements();
  FS_CHECK(written > 0 || total == 0, path + " is written by no rank");
  FS_CHECK(written == total, path + ": " + std::to_string(total - written) + " of " +
                                 std::to_string(total) + " elements are written by no rank");
}

void check_agreement(const std::string& path, const Claim& a, const Claim& b) {
  FS_CHECK(a.shape == b.shape && a.dtype == b.dtype && a.trainable == b.trainable,
           path + ": ranks " + std::to_string(a.rank) + " and " + std::to_string(b.rank) +
               " disagree on its shape, type or trainability");
}

std::vector<Slab> written_slabs(const std::vector<Claim>& claims) {
  std::vector<Slab> slabs;
  for (const Claim& claim : claims) {
    if (claim.writes) {
      for (const LocalPart& part : hyperslabs_of(claim.part, claim.begin, claim.end)) {
        slabs.push_back({claim.rank, part});
      }
    }
  }
  return slabs;
}

template <class T>
void append(std::vector<std::byte>& bytes, const T& value) {
  const auto* first = reinterpret_cast<const std::byte*>(&value);
  bytes.insert(bytes.end(), first, first + sizeof(T));
}

template <class T>
T take(std::span<const std::byte>& bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof(T));
  bytes = bytes.subspan(sizeof(T));
  return value;
}

std::vector<std::byte> encode(int rank, const std::vector<CheckpointTensor>& tensors) {
  std::vector<std::byte> bytes;
  for (std::size_t number = 0; number < tensors.size(); ++number) {
    const CheckpointTensor& tensor = tensors[number];
    append(bytes, Claim{rank, number, tensor.shape, tensor.part, tensor.begin, end_of(tensor),
                        tensor.local.dtype, tensor.writes, tensor.trainable});
    append(bytes, tensor.path.size());
    const auto text = std::as_bytes(std::span(tensor.path));
    bytes.insert(bytes.end(), text.begin(), text.end());
  }
  return bytes;
}

Claims decode(std::span<const std::byte> bytes) {
  Claims claims;
  while (!bytes.empty()) {
    const auto claim = take<Claim>(bytes);
    const auto size = take<std::size_t>(bytes);
    const std::string path(reinterpret_cast<const char*>(bytes.data()), size);
    bytes = bytes.subspan(size);
    claims[path].push_back(claim);
  }
  return claims;
}

}  // namespace

std::int64_t end_of(const CheckpointTensor& tensor) {
  return tensor.end < 0 ? tensor.part.shape.num_elements() : tensor.end;
}

void check_tensor(const CheckpointTensor& tensor) {
  FS_CHECK(tensor.path.starts_with('/') && tensor.shape.rank > 0, tensor.path + " has no shape");
  FS_CHECK(
      tensor.part.shape.rank == tensor.shape.rank && tensor.part.offset.rank == tensor.shape.rank,
      tensor.path + ": the part has another rank");
  for (int axis = 0; axis < tensor.shape.rank; ++axis) {
    FS_CHECK(tensor.part.offset[axis] >= 0 && tensor.part.shape[axis] >= 0 &&
                 tensor.part.offset[axis] + tensor.part.shape[axis] <= tensor.shape[axis],
             tensor.path + ": the part lies outside of " + tensor.shape.text());
  }
  const std::int64_t end = end_of(tensor);
  FS_CHECK(tensor.begin >= 0 && tensor.begin <= end && end <= tensor.part.shape.num_elements(),
           tensor.path + ": the range lies outside of the part " + tensor.part.shape.text());
  FS_CHECK(tensor.local.is_dense() && tensor.local.num_elements() == end - tensor.begin,
           tensor.path + ": the memory does not hold the range");
}

Claims gather_claims(Group& group, const std::vector<CheckpointTensor>& tensors) {
  const std::vector<std::byte> mine = encode(group.rank(), tensors);
  const auto size = static_cast<std::size_t>(group.size());
  std::vector<std::size_t> sizes(size);
  std::vector<std::size_t> offsets(size + 1);
  for (std::size_t rank = 0; rank <= size; ++rank) {
    offsets[rank] = rank * sizeof(std::size_t);
  }
  const std::size_t my_size = mine.size();
  group.all_gather(std::as_bytes(std::span(&my_size, 1)), std::as_writable_bytes(std::span(sizes)),
                   offsets);
  offsets[0] = 0;
  for (std::size_t rank = 0; rank < size; ++rank) {
    offsets[rank + 1] = offsets[rank] + sizes[rank];
  }
  std::vector<std::byte> all(offsets[size]);
  group.all_gather(mine, all, offsets);
  return decode(all);
}

void check_written_once(const Claims& claims) {
  for (const auto& [path, of_path] : claims) {
    for (const Claim& claim : of_path) {
      check_agreement(path, of_path.front(), claim);
    }
    std::vector<Slab> slabs = written_slabs(of_path);
    check_cover(path, of_path.front().shape, slabs);
  }
}

StoredFile tensors_of(const Claims& claims) {
  StoredFile stored;
  for (const auto& [path, of_path] : claims) {
    StoredTensor tensor;
    tensor.path = path;
    tensor.shape = of_path.front().shape;
    tensor.dtype = of_path.front().dtype;
    tensor.trainable = of_path.front().trainable;
    tensor.first_block = stored.num_blocks;
    stored.num_blocks += tensor.num_blocks();
    stored.tensors.push_back(std::move(tensor));
  }
  return stored;
}

}  // namespace finescale
