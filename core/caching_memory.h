// SPDX-License-Identifier: Apache-2.0
// Memory that is slow to get (cudaMalloc waits for the device), kept and handed out again: best
// fit, blocks are split and joined with their neighbours. One thread calls. Knows no device: where
// the memory comes from is given.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>

namespace finescale {

class MemorySource {
 public:
  virtual ~MemorySource() = default;
  // Null when there is no more. At least 256-byte aligned.
  [[nodiscard]] virtual void* take(std::size_t size_bytes) = 0;
  virtual void give_back(void* memory) noexcept = 0;

 protected:
  MemorySource() = default;
  MemorySource(const MemorySource&) = default;
  MemorySource& operator=(const MemorySource&) = default;
};

class CachingMemory {
 public:
  // The source must outlive it.
  explicit CachingMemory(MemorySource& source) : source_(&source) {}
  ~CachingMemory();
  CachingMemory(const CachingMemory&) = delete;
  CachingMemory& operator=(const CachingMemory&) = delete;

  // Null when the source has no more, after what is kept for nobody was given back to it.
  [[nodiscard]] void* allocate(std::size_t size_bytes);
  void release(void* memory) noexcept;
  [[nodiscard]] bool contains(const void* memory) const;  // in what was taken, in use or not
  // Gives back every segment of which nothing is in use.
  void trim() noexcept;

  [[nodiscard]] std::size_t in_use() const noexcept { return in_use_; }
  [[nodiscard]] std::size_t peak() const noexcept { return peak_; }
  [[nodiscard]] std::size_t held() const noexcept { return held_; }
  [[nodiscard]] std::int64_t num_taken() const noexcept { return num_taken_; }

 private:
  struct Block {
    std::size_t size = 0;
    std::byte* segment = nullptr;  // begin of what was taken in one piece
    bool is_free = false;
  };
  using Blocks = std::map<std::byte*, Block>;

  void mark_free(Blocks::iterator block);
  void unmark_free(Blocks::iterator block);
  [[nodiscard]] Blocks::iterator take_segment(std::size_t size);
  void split(Blocks::iterator block, std::size_t size);

  MemorySource* source_;
  Blocks blocks_;                                         // all, by address
  std::set<std::pair<std::size_t, std::byte*>> free_;     // by size, then address
  std::unordered_map<std::byte*, std::size_t> segments_;  // sizes
  std::size_t in_use_ = 0;
  std::size_t peak_ = 0;
  std::size_t held_ = 0;
  std::int64_t num_taken_ = 0;
};

}  // namespace finescale
