// SPDX-License-Identifier: Apache-2.0
// Rank 0 makes the file with all its structure through HDF5, alone, and closes it. Then every rank
// writes blocks and their hashes straight to their places, those that it holds whole and a share of
// the others, and flushes them. No two ranks ever write the same bytes.
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <span>
#include <string_view>

#include "checkpoint/block_exchange.h"
#include "checkpoint/block_set.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/claims.h"
#include "checkpoint/h5.h"
#include "checkpoint/raw_file.h"
#include "checkpoint/slabs.h"
#include "comm/together.h"
#include "core/crash_point.h"
#include "core/files.h"
#include "core/hash.h"

namespace finescale {

namespace {

constexpr std::string_view kBeside = ".tmp";

// Hashes of this rank's blocks, and the write of those to the table in the file.
class HashTable {
 public:
  explicit HashTable(const StoredFile& stored)
      : stored_(&stored),
        known_(stored.num_blocks),
        text_(static_cast<std::size_t>(stored.num_blocks * kHashCharacters), '\0') {}
  void set(std::int64_t block, const std::string& hash) {
    known_.insert(block);
    std::copy(hash.begin(), hash.end(),
              text_.begin() + static_cast<std::ptrdiff_t>(block * kHashCharacters));
  }
  [[nodiscard]] const BlockSet& known() const { return known_; }
  void write(RawFile& file) const {
    for (std::int64_t begin = 0; begin < stored_->num_blocks;) {
      std::int64_t end = begin;
      while (end < stored_->num_blocks && known_.has(end)) {
        ++end;
      }
      if (end > begin) {
        file.write_at(text_.data() + begin * kHashCharacters,
                      static_cast<std::size_t>((end - begin) * kHashCharacters),
                      stored_->hashes_offset + begin * kHashCharacters);
      }
      begin = end + 1;
    }
  }

 private:
  const StoredFile* stored_;
  BlockSet known_;
  std::string text_;
};

// A failure to write that nobody explains is one of the file system; users know PATH, not PATH.tmp.
std::string shown(const std::string& beside) {
  return beside.substr(0, beside.size() - kBeside.size());
}

// The blocks that lie in bytes [begin, end) of the tensor.
template <class Body>
void for_each_block_in(const StoredTensor& stored, std::int64_t begin, std::int64_t end,
                       const std::byte* memory, Body body) {
  for (std::int64_t block = (begin + kHashBlockBytes - 1) / kHashBlockBytes;
       block < stored.num_blocks(); ++block) {
    const std::int64_t first = block * kHashBlockBytes;
    const std::int64_t last = std::min(first + kHashBlockBytes, stored.size_bytes());
    if (last > end) {
      return;
    }
    body(stored.first_block + block, stored.offset + first,
         std::span(memory + (first - begin), static_cast<std::size_t>(last - first)));
  }
}

// Calls body(block, offset in the file, bytes) for each block of which this rank holds all bytes,
// in one piece.
template <class Body>
void for_each_whole_block(const StoredTensor& stored, const CheckpointTensor& tensor, Body body) {
  const auto element = static_cast<std::int64_t>(dtype_size(stored.dtype));
  const auto* memory = tensor.local.as<const std::byte>();
  for (const LocalPart& slab : hyperslabs_of(tensor.part, tensor.begin, end_of(tensor))) {
    const Runs runs(tensor.shape, slab);
    for (std::int64_t i = 0; i < runs.count(); ++i) {
      const std::int64_t begin = runs.first(i) * element;
      const std::int64_t size = runs.length() * element;
      for_each_block_in(stored, begin, begin + size, memory, body);
      memory += size;
    }
  }
}

bool holds_data(const CheckpointTensor& tensor) {
  return tensor.writes && tensor.local.num_elements() > 0;
}

// HDF5 1.10 ends the process at its exit when it could not close a file: what can be known of a
// full disk is found out before. The structure takes about 1 KiB per tensor.
void probe_space(const std::string& beside, const StoredFile& stored) {
  std::int64_t size = stored.num_blocks * kHashCharacters + (std::int64_t{64} << 10);
  for (const StoredTensor& tensor : stored.tensors) {
    size += tensor.size_bytes() + 1024;
  }
  RawFile::create(beside).reserve_space(size);
}

void reserve_space(const std::string& beside) {
  RawFile file = RawFile::for_writing(beside);
  file.reserve_space(file.size());
}

// Rank 0 makes the structure; every rank learns where the data goes. Collective over the group.
void lay_out(Group& group, const std::string& beside, const CheckpointState& state,
             StoredFile& stored) {
  run_together(group, [&] {
    if (group.rank() == 0) {
      const std::string name = shown(beside);
      in_place(
          name, [&] { probe_space(beside, stored); }, ErrorKind::kIo);
      h5::in_file(
          name, [&] { create_structure(beside, state, stored); }, ErrorKind::kIo);
      in_place(
          name, [&] { reserve_space(beside); }, ErrorKind::kIo);
    }
  });
  std::vector<std::int64_t> offsets = {stored.hashes_offset};
  for (const StoredTensor& tensor : stored.tensors) {
    offsets.push_back(tensor.offset);
  }
  group.broadcast(offsets.data(), offsets.size() * sizeof(std::int64_t), 0);
  stored.hashes_offset = offsets[0];
  for (std::size_t i = 0; i < stored.tensors.size(); ++i) {
    stored.tensors[i].offset = offsets[i + 1];
  }
}

template <class Body>
void for_each_whole_block(const StoredFile& stored, const std::vector<CheckpointTensor>& tensors,
                          Body body) {
  for (const CheckpointTensor& tensor : tensors) {
    if (holds_data(tensor)) {
      for_each_whole_block(*stored.find(tensor.path), tensor, [&](auto block, auto at, auto bytes) {
        body(block, at, bytes);
        if (tensor.file != nullptr) {
          tensor.file->drop(bytes);
        }
      });
    }
  }
}

// The blocks that no rank holds whole, owned by the ranks in turn. Collective.
std::vector<OwnedBlock> border_blocks(Group& group, const StoredFile& stored,
                                      const std::vector<CheckpointTensor>& tensors) {
  BlockSet whole(stored.num_blocks);
  for_each_whole_block(stored, tensors,
                       [&](std::int64_t block, std::int64_t, const auto&) { whole.insert(block); });
  const std::vector<BlockSet> sets = whole.gather(group);
  std::vector<OwnedBlock> blocks;
  for (std::int64_t block = 0; block < stored.num_blocks; ++block) {
    if (std::none_of(sets.begin(), sets.end(),
                     [&](const BlockSet& set) { return set.has(block); })) {
      blocks.push_back({block, static_cast<int>(std::ssize(blocks) % group.size())});
    }
  }
  return blocks;
}

// Collective over the group.
void write_data(Group& group, const std::string& beside, const StoredFile& stored,
                const Claims& claims, const std::vector<CheckpointTensor>& tensors) {
  HashTable hashes(stored);
  std::optional<RawFile> file;
  // A block is hashed in front of its write, which finds it in the cache.
  const auto write_block = [&](std::int64_t block, std::int64_t offset,
                               std::span<const std::byte> bytes) {
    hashes.set(block, hash_hex({reinterpret_cast<const char*>(bytes.data()), bytes.size()}));
    file->write_at(bytes.data(), bytes.size(), offset);
  };
  const auto together = [&](const std::function<void()>& body) {
    run_together(group, [&] { in_place(shown(beside), body, ErrorKind::kIo); });
  };
  const std::vector<OwnedBlock> borders = border_blocks(group, stored, tensors);
  const bool writes =
      group.rank() == 0 || std::any_of(tensors.begin(), tensors.end(), holds_data) ||
      std::any_of(borders.begin(), borders.end(),
                  [&](const OwnedBlock& block) { return block.owner == group.rank(); });
  together([&] {
    if (!writes) {
      return;
    }
    file.emplace(RawFile::for_writing(beside));
    for_each_whole_block(stored, tensors, write_block);
  });
  BlockExchange(group, stored, claims, tensors)
      .gather(borders, [&](const BlockRange& range, std::int64_t block, const auto& bytes) {
        in_place(
            shown(beside), [&] { write_block(block, range.offset, bytes); }, ErrorKind::kIo);
      });
  together([&] {
    if (file) {
      hashes.write(*file);
      file->sync();  // each rank its own: a host knows only its own unwritten pages
    }
  });
}

// Collective over the group.
void write_file(Group& group, const std::string& beside, const std::string& path,
                const CheckpointState& state, const Claims& claims,
                const std::vector<CheckpointTensor>& tensors) {
  StoredFile stored = tensors_of(claims);
  lay_out(group, beside, state, stored);
  write_data(group, beside, stored, claims, tensors);
  run_together(group, [&] {
    if (group.rank() == 0) {
      crash_point("worker.before_checkpoint_rename");
      rename_durably(beside, path);
      crash_point("worker.after_checkpoint");
    }
  });
}

}  // namespace

void write_checkpoint(Group& group, const std::string& path, const CheckpointState& state,
                      const std::vector<CheckpointTensor>& tensors) {
  const std::string beside = path + std::string(kBeside);
  run_together(group, [&] { std::for_each(tensors.begin(), tensors.end(), check_tensor); });
  const Claims claims = gather_claims(group, tensors);
  run_together(group, [&] {
    if (group.rank() == 0) {
      check_written_once(claims);
    }
  });
  try {
    write_file(group, beside, path, state, claims, tensors);
  } catch (const Error&) {
    if (group.rank() == 0) {
      ::unlink(beside.c_str());  // a full disk should not stay full because of it
    }
    throw;
  }
}

}  // namespace finescale
