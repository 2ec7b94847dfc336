// SPDX-License-Identifier: Apache-2.0
// Memory of the emulated GPUs: one range of addresses that only work may touch. Every allocation
// begins as NaN and lies between marks.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

namespace finescale::cuda::emulation {

class DeviceMemory {
 public:
  DeviceMemory();
  ~DeviceMemory();
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  // Forgets everything; returns what was wrong with the marks, empty when nothing was.
  [[nodiscard]] std::string start(int devices, std::size_t size_bytes);
  [[nodiscard]] void* allocate(int device, std::size_t size_bytes);  // null: there is no more
  // False when no allocation begins there. Throws when its marks were written over.
  bool release(void* memory);
  [[nodiscard]] int find(const void* memory, std::size_t size_bytes) const;  // -1: none
  [[nodiscard]] std::size_t free_bytes(int device) const;
  [[nodiscard]] std::size_t num_allocations() const { return allocations_.size(); }

  // While it lives the memory may be touched; may be nested.
  class Window {
   public:
    explicit Window(DeviceMemory& memory);
    ~Window();
    Window(const Window&) = delete;
    Window& operator=(const Window&) = delete;

   private:
    DeviceMemory* memory_;
  };

 private:
  struct Allocation {
    std::size_t size_bytes = 0;
    int device = 0;
  };
  void protect(bool open) const;
  [[nodiscard]] bool marks_are_whole(std::byte* begin, std::size_t size_bytes) const;

  void* mapping_;
  std::byte* base_ = nullptr;
  std::size_t top_ = 0;  // addresses are not used again: what was freed stays closed
  int num_windows_ = 0;
  std::size_t limit_ = 0;
  std::vector<std::size_t> used_;  // by device
  std::map<std::byte*, Allocation> allocations_;
};

}  // namespace finescale::cuda::emulation
