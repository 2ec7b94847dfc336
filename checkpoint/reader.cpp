// SPDX-License-Identifier: Apache-2.0
// The structure is read through HDF5 by every rank, data straight from its place in the file. Only
// whole blocks can be checked: a block that ranks want in parts only is read by one of them, which
// sends the parts on.
#include <algorithm>
#include <map>
#include <span>
#include <utility>

#include "checkpoint/block_exchange.h"
#include "checkpoint/block_set.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/claims.h"
#include "checkpoint/h5.h"
#include "checkpoint/stored_file.h"
#include "checkpoint/tensor_reader.h"
#include "comm/together.h"
#include "core/hash.h"

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

// Blocks of which some rank wants a part, each owned by one of those ranks. All ranks compute the
// same.
std::vector<OwnedBlock> partial_blocks(Group& group, std::int64_t num_blocks,
                                       const BlockSet& mine) {
  const std::vector<BlockSet> sets = mine.gather(group);
  std::vector<OwnedBlock> blocks;
  std::vector<int> readers;
  for (std::int64_t block = 0; block < num_blocks; ++block) {
    readers.clear();
    for (int rank = 0; rank < group.size(); ++rank) {
      if (sets[static_cast<std::size_t>(rank)].has(block)) {
        readers.push_back(rank);
      }
    }
    if (!readers.empty()) {
      blocks.push_back({block, readers[static_cast<std::size_t>(block % std::ssize(readers))]});
    }
  }
  return blocks;
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
  const Claims claims = gather_claims(impl.group, tensors);
  const Roots roots = tensors_of_all(claims, impl.group.size());
  std::optional<RawFile> file;
  std::optional<TensorReader> reader;
  impl.together([&] {
    file.emplace(RawFile::for_reading(impl.path));
    reader.emplace(*file, impl.stored);
    for (const CheckpointTensor& tensor : tensors) {
      const auto root = roots.find(tensor.path);
      if (root == roots.end() || root->second == impl.group.rank()) {
        reader->read(tensor);
      }
    }
  });
  BlockExchange(impl.group, impl.stored, claims, tensors)
      .scatter(partial_blocks(impl.group, impl.stored.num_blocks, reader->partial()),
               [&](const BlockRange& range, std::int64_t block, std::span<std::byte> content) {
                 in_place(impl.path, [&] {
                   file->read_at(content.data(), content.size(), range.offset);
                   check_block(
                       impl.stored, block,
                       hash_hex({reinterpret_cast<const char*>(content.data()), content.size()}));
                 });
               });
  std::map<std::string, const CheckpointTensor*> shared;  // in one order on all ranks
  for (const CheckpointTensor& tensor : tensors) {
    if (roots.contains(tensor.path)) {
      shared.emplace(tensor.path, &tensor);
    }
  }
  for (const auto& [path, tensor] : shared) {
    const TensorView& local = tensor->local;
    impl.group.broadcast(local.data, local.size_bytes(), roots.at(path));
    if (tensor->file != nullptr) {
      tensor->file->drop({local.as<std::byte>(), local.size_bytes()});
    }
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
