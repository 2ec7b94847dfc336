// SPDX-License-Identifier: Apache-2.0
#include "core/paged_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <span>
#include <string>

#include "core/error.h"

namespace finescale {

PagedMemory::PagedMemory(std::size_t size_bytes) : size_bytes_(size_bytes) {
  if (size_bytes == 0) {
    return;
  }
  void* const memory = ::mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    throw Error(ErrorKind::kResource,
                "cannot allocate " + std::to_string(size_bytes >> 20) + " MiB of parameters");
  }
  data_ = memory;
}

PagedMemory::~PagedMemory() {
  if (data_ != nullptr) {
    ::munmap(data_, size_bytes_);
  }
}

namespace {

// The whole pages in [begin, begin + size); may be none.
std::span<std::byte> whole_pages(const void* begin, std::size_t size) {
  static const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto address = reinterpret_cast<std::uintptr_t>(begin);
  const std::uintptr_t first = (address + page - 1) / page * page;
  const std::uintptr_t last = (address + size) / page * page;
  return first < last ? std::span(reinterpret_cast<std::byte*>(first), last - first)
                      : std::span<std::byte>();
}

bool release(std::span<std::byte> pages) {
  return pages.empty() || ::madvise(pages.data(), pages.size(), MADV_DONTNEED) == 0;
}

}  // namespace

void release_pages(const void* begin, std::size_t size) noexcept {
  release(whole_pages(begin, size));  // a kernel that refuses keeps them
}

void clear_pages(void* begin, std::size_t size) noexcept {
  const std::span<std::byte> pages = whole_pages(begin, size);
  auto* const first = static_cast<std::byte*>(begin);
  if (pages.empty() || !release(pages)) {
    std::memset(begin, 0, size);
    return;
  }
  std::memset(first, 0, static_cast<std::size_t>(pages.data() - first));
  std::byte* const rest = pages.data() + pages.size();
  std::memset(rest, 0, static_cast<std::size_t>(first + size - rest));
}

}  // namespace finescale
