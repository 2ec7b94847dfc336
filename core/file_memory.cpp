// SPDX-License-Identifier: Apache-2.0
#include "core/file_memory.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "core/descriptor.h"
#include "core/error.h"

namespace finescale {

namespace {

constexpr const char* kHint = "mesh.scratch: a directory on a local disk with room";

[[noreturn]] void fail(const std::string& what, const std::string& directory) {
  throw Error(ErrorKind::kResource, what + ": " + std::strerror(errno), directory, kHint);
}

Descriptor nameless_file(const std::string& directory) {
  Descriptor file(::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (file || (errno != EOPNOTSUPP && errno != EISDIR)) {
    return file;
  }
  std::string name = directory + "/finescale.XXXXXX";  // a file system without O_TMPFILE
  file = Descriptor(::mkostemp(name.data(), O_CLOEXEC));
  if (file) {
    ::unlink(name.c_str());
  }
  return file;
}

std::span<std::byte> pages_of(std::span<const std::byte> bytes) {
  static const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGE_SIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(bytes.data()) / page * page;
  const auto end = reinterpret_cast<std::uintptr_t>(bytes.data() + bytes.size());
  return {reinterpret_cast<std::byte*>(begin), end - begin};
}

}  // namespace

FileMemory::FileMemory(const std::string& directory, std::size_t size_bytes) {
  if (size_bytes == 0) {
    return;
  }
  const Descriptor file = nameless_file(directory);
  if (!file) {
    fail("cannot make a file", directory);
  }
  struct statfs system {};
  if (::fstatfs(file.get(), &system) == 0 &&
      (system.f_type == TMPFS_MAGIC || system.f_type == RAMFS_MAGIC)) {
    throw Error(ErrorKind::kResource, "a file here would lie in memory (tmpfs)", directory, kHint);
  }
  // Else a full disk would end the process at its first touch of a page.
  if (const int code = ::posix_fallocate(file.get(), 0, static_cast<off_t>(size_bytes));
      code != 0) {
    errno = code;
    fail("no room for " + std::to_string(size_bytes) + " bytes", directory);
  }
  void* data = ::mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  if (data == MAP_FAILED) {
    fail("cannot map a file", directory);
  }
  bytes_ = {static_cast<std::byte*>(data), size_bytes};
}

FileMemory::~FileMemory() {
  if (!bytes_.empty()) {
    ::munmap(bytes_.data(), bytes_.size());
  }
}

void FileMemory::prefetch(std::span<const std::byte> bytes) const noexcept {
  const std::span<std::byte> pages = pages_of(bytes);
  ::madvise(pages.data(), pages.size(), MADV_WILLNEED);
}

void FileMemory::drop(std::span<const std::byte> bytes) const noexcept {
  const std::span<std::byte> pages = pages_of(bytes);
  ::madvise(pages.data(), pages.size(), MADV_DONTNEED);
}

std::string default_scratch_directory() {
  const char* set = std::getenv("TMPDIR");
  return set != nullptr && *set != '\0' ? set : "/var/tmp";
}

}  // namespace finescale
