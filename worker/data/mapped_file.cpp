// SPDX-License-Identifier: Apache-2.0
#include "worker/data/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/error.h"
#include "core/unique_handle.h"

namespace finescale {

namespace {

struct FileTraits {
  using Handle = int;
  static Handle invalid() { return -1; }
  static void destroy(Handle file) noexcept { ::close(file); }
};

}  // namespace

MappedFile::MappedFile(const std::string& path) {
  const UniqueHandle<FileTraits> file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info {};
  if (file.get() < 0 || ::fstat(file.get(), &info) != 0) {
    throw Error(ErrorKind::kIo, std::string("cannot be opened: ") + std::strerror(errno), path);
  }
  const auto size = static_cast<std::size_t>(info.st_size);
  if (size == 0) {
    return;
  }
  void* const at = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file.get(), 0);
  if (at == MAP_FAILED) {
    throw Error(ErrorKind::kIo, std::string("cannot be mapped: ") + std::strerror(errno), path);
  }
  bytes_ = {static_cast<const std::byte*>(at), size};
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) {
    ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  }
}

}  // namespace finescale
