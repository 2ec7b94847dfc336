// SPDX-License-Identifier: Apache-2.0
// The structure is read through HDF5 by every rank, data straight from its place in the file. Only
// whole blocks can be checked: those that ranks read in parts only are dealt out among them.
#include <algorithm>
#include <map>
#include <utility>

#include "checkpoint/block_set.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/claims.h"
#include "checkpoint/h5.h"
#include "checkpoint/stored_file.h"
#include "checkpoint/tensor_reader.h"
#include "comm/together.h"

namespace finescale {

namespace {

using Roots = std::map<std::string, int>;  // path -> the rank that reads for all

bool every_rank_wants_all(const std::vector<Claim>& claims, int num_ranks) {
  if (std::ssize(claims) != num_ranks) {
    return false;
  }
  for (int rank = 0; rank < num_ranks; ++rank) {
    const Claim& claim = claims[static_cast<std::size_t>(rank)];
    if (claim.rank != rank || !claim.is_whole() || claim.dtype != claims.front().dtype) {
      return false;
    }
  }
  return true;
}

// Spread over the ranks by size. All ranks compute the same.
Roots tensors_of_all(const Claims& claims, int num_ranks) {
  Roots roots;
  std::vector<std::int64_t> load(static_cast<std::size_t>(num_ranks), 0);
  for (const auto& [path, of_path] : claims) {
    if (every_rank_wants_all(of_path, num_ranks)) {
      const auto least = std::min_element(load.begin(), load.end());
      *least += of_path.front().shape.num_elements();
      roots[path] = static_cast<int>(least - load.begin());
    }
  }
  return roots;
}

// Blocks that were read, but by no rank whole: this rank's share, among those who read a part.
std::vector<std::int64_t> unchecked_blocks(Group& group, const StoredFile& stored,
                                           const TensorReader& reader) {
  const std::vector<BlockSet> touched = reader.touched().gather(group);
  const std::vector<BlockSet> checked = reader.checked().gather(group);
  std::vector<std::int64_t> mine;
  std::vector<int> readers;
  for (std::int64_t block = 0; block < stored.num_blocks; ++block) {
    readers.clear();
    bool known = false;
    for (int rank = 0; rank < group.size(); ++rank) {
      known = known || checked[static_cast<std::size_t>(rank)].has(block);
      if (touched[static_cast<std::size_t>(rank)].has(block)) {
        readers.push_back(rank);
      }
    }
    if (!known && !readers.empty() &&
        readers[static_cast<std::size_t>(block % std::ssize(readers))] == group.rank()) {
      mine.push_back(block);
    }
  }
  return mine;
}

void check_blocks(const RawFile& file, const StoredFile& stored,
                  const std::vector<std::int64_t>& blocks) {
  std::vector<std::byte> scratch;
  for (const std::int64_t block : blocks) {
    check_block(stored, block, hash_block(file, range_of(stored, block), scratch));
  }
}

void check_wanted(const StoredFile& stored, const CheckpointTensor& tensor) {
  check_tensor(tensor);
  const StoredTensor* found = stored.find(tensor.path);
  if (found == nullptr) {
    throw Error(ErrorKind::kCheckpoint, tensor.path + " is not in the checkpoint");
  }
  if (!(found->shape == tensor.shape)) {
    throw Error(ErrorKind::kCheckpoint, tensor.path + " has shape " + found->shape.text() +
                                            ", the model wants " + tensor.shape.text());
  }
  (void)h5::file_type(tensor.local.dtype);  // f32 or f64
}

}  // namespace

struct CheckpointReader::Impl {
  Group& group;
  std::string path;
  CheckpointState state;
  StoredFile stored;

  // Collective over the group; `body` holds no collective.
  void together(const std::function<void()>& body) {
    run_together(group, [&] { in_place(path, body); });
  }
};

CheckpointReader::CheckpointReader(Group& group, const std::string& path)
    : impl_(std::make_unique<Impl>(Impl{group, path, {}, {}})) {
  run_together(group, [&] {
    h5::in_file(path, [&] { impl_->stored = load_structure(path, impl_->state); });
  });
}

CheckpointReader::~CheckpointReader() = default;

const CheckpointState& CheckpointReader::state() const {
  return impl_->state;
}

std::vector<LogicalTensor> CheckpointReader::tensors(const std::string& group_path) const {
  const std::string prefix = group_path.ends_with('/') ? group_path : group_path + "/";
  std::vector<LogicalTensor> below;
  for (const StoredTensor& stored : impl_->stored.tensors) {
    if (stored.path.starts_with(prefix)) {
      LogicalTensor& tensor = below.emplace_back();
      tensor.name = stored.path.substr(prefix.size());
      tensor.shape = stored.shape;
      tensor.trainable = stored.trainable;
    }
  }
  return below;
}

bool CheckpointReader::has(const std::string& path) const {
  return impl_->stored.find(path) != nullptr;
}

void CheckpointReader::read(const std::vector<CheckpointTensor>& tensors) {
  Impl& impl = *impl_;
  impl.together([&] {
    for (const CheckpointTensor& tensor : tensors) {
      check_wanted(impl.stored, tensor);
    }
  });
  const Roots roots = impl.group.size() == 1
                          ? Roots()
                          : tensors_of_all(gather_claims(impl.group, tensors), impl.group.size());
  std::optional<RawFile> file;
  std::optional<TensorReader> reader;
  impl.together([&] { file.emplace(RawFile::for_reading(impl.path)); });
  reader.emplace(*file, impl.stored);
  impl.together([&] {
    for (const CheckpointTensor& tensor : tensors) {
      const auto root = roots.find(tensor.path);
      if (root == roots.end() || root->second == impl.group.rank()) {
        reader->read(tensor);
      }
    }
  });
  const std::vector<std::int64_t> rest = unchecked_blocks(impl.group, impl.stored, *reader);
  impl.together([&] { check_blocks(*file, impl.stored, rest); });
  std::map<std::string, const TensorView*> shared;  // in one order on all ranks
  for (const CheckpointTensor& tensor : tensors) {
    if (roots.contains(tensor.path)) {
      shared.emplace(tensor.path, &tensor.local);
    }
  }
  for (const auto& [path, local] : shared) {
    impl.group.broadcast(local->data, local->size_bytes(), roots.at(path));
  }
}

void CheckpointReader::verify() {
  Impl& impl = *impl_;
  impl.together([&] {
    const RawFile file = RawFile::for_reading(impl.path);
    const std::int64_t rank = impl.group.rank();
    const std::int64_t size = impl.group.size();
    std::vector<std::int64_t> share;
    for (std::int64_t block = impl.stored.num_blocks * rank / size;
         block < impl.stored.num_blocks * (rank + 1) / size; ++block) {
      share.push_back(block);
    }
    check_blocks(file, impl.stored, share);
    std::int64_t number = 0;
    for (const StoredTensor& tensor : impl.stored.tensors) {
      if (tensor.first_block < 0 && number++ % size == rank) {
        verify_tensor(file, tensor);
      }
    }
  });
}

}  // namespace finescale
