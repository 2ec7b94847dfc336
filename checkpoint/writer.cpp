// SPDX-License-Identifier: Apache-2.0
// Rank 0 makes the file with all its structure through HDF5, alone, and closes it. Then every rank
// writes its pieces and the hashes of the blocks that it holds whole straight to their places, and
// flushes them; blocks that several ranks made are read back and hashed. No two ranks ever write
// the same bytes.
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <string_view>

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

// Bytes [begin, end) of the tensor. A block is hashed in front of its write, which finds it in the
// cache.
void write_run(RawFile& file, const StoredTensor& stored, std::int64_t begin, std::int64_t end,
               const std::byte* memory, HashTable& hashes) {
  while (begin < end) {
    const std::int64_t block = begin / kHashBlockBytes;
    const std::int64_t block_end = std::min((block + 1) * kHashBlockBytes, stored.size_bytes());
    const std::int64_t stop = std::min(end, block_end);
    const auto size = static_cast<std::size_t>(stop - begin);
    if (begin == block * kHashBlockBytes && stop == block_end) {
      hashes.set(stored.first_block + block,
                 hash_hex({reinterpret_cast<const char*>(memory), size}));
    }
    file.write_at(memory, size, stored.offset + begin);
    memory += size;
    begin = stop;
  }
}

void write_tensor(RawFile& file, const StoredTensor& stored, const CheckpointTensor& tensor,
                  HashTable& hashes) {
  const auto element = static_cast<std::int64_t>(dtype_size(stored.dtype));
  const auto* memory = tensor.local.as<const std::byte>();
  for (const LocalPart& slab : slabs_of(tensor.part, tensor.begin, end_of(tensor))) {
    for_each_run(tensor.shape, slab, [&](std::int64_t first, std::int64_t count) {
      write_run(file, stored, first * element, (first + count) * element, memory, hashes);
      memory += count * element;
    });
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

// The blocks that no rank hashed, in turn over the ranks: this rank's share. Collective.
std::vector<std::int64_t> border_blocks(Group& group, const StoredFile& stored,
                                        const BlockSet& known) {
  const std::vector<BlockSet> sets = known.gather(group);
  std::vector<std::int64_t> mine;
  int turn = 0;
  for (std::int64_t block = 0; block < stored.num_blocks; ++block) {
    if (std::none_of(sets.begin(), sets.end(),
                     [&](const BlockSet& set) { return set.has(block); })) {
      if (turn == group.rank()) {
        mine.push_back(block);
      }
      turn = (turn + 1) % group.size();
    }
  }
  return mine;
}

// Collective over the group.
void write_data(Group& group, const std::string& beside, const StoredFile& stored,
                const std::vector<CheckpointTensor>& tensors) {
  HashTable hashes(stored);
  const auto together = [&](const std::function<void()>& body) {
    run_together(group, [&] { in_place(shown(beside), body, ErrorKind::kIo); });
  };
  together([&] {
    if (group.rank() != 0 && std::none_of(tensors.begin(), tensors.end(), holds_data)) {
      return;
    }
    RawFile file = RawFile::for_writing(beside);
    for (const CheckpointTensor& tensor : tensors) {
      if (holds_data(tensor)) {
        write_tensor(file, *stored.find(tensor.path), tensor, hashes);
      }
    }
    hashes.write(file);
    file.sync();  // each rank its own: a host knows only its own unwritten pages
  });
  const std::vector<std::int64_t> blocks = border_blocks(group, stored, hashes.known());
  together([&] {
    if (blocks.empty()) {
      return;
    }
    RawFile file = RawFile::for_writing(beside);  // opened anew: sees what other hosts flushed
    HashTable read_back(stored);
    std::vector<std::byte> scratch;
    for (const std::int64_t block : blocks) {
      read_back.set(block, hash_block(file, range_of(stored, block), scratch));
    }
    read_back.write(file);
    file.sync();
  });
}

// Collective over the group.
void write_file(Group& group, const std::string& beside, const std::string& path,
                const CheckpointState& state, const std::vector<CheckpointTensor>& tensors,
                StoredFile stored) {
  lay_out(group, beside, state, stored);
  write_data(group, beside, stored, tensors);
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
    write_file(group, beside, path, state, tensors, tensors_of(claims));
  } catch (const Error&) {
    if (group.rank() == 0) {
      ::unlink(beside.c_str());  // a full disk should not stay full because of it
    }
    throw;
  }
}

}  // namespace finescale
