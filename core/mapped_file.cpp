// SPDX-License-Identifier: Apache-2.0
#include "core/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/descriptor.h"
#include "core/error.h"

namespace finescale {

namespace {

[[noreturn]] void fail(const std::string& what, const std::string& path, int code) {
  const bool user = code == ENOENT || code == ENOTDIR || code == EACCES || code == EISDIR;
  throw Error(user ? ErrorKind::kData : ErrorKind::kIo, what + ": " + std::strerror(code), path);
}

}  // namespace

MappedFile::MappedFile(std::string path) : path_(std::move(path)) {
  const Descriptor file(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info {};
  if (!file || ::fstat(file.get(), &info) != 0) {
    fail("cannot open", path_, errno);
  }
  if (!S_ISREG(info.st_mode)) {
    throw Error(ErrorKind::kData, "not a plain file", path_);
  }
  const auto size = static_cast<std::size_t>(info.st_size);
  if (size == 0) {
    return;  // nothing can be mapped; the formats report what is missing
  }
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (data == MAP_FAILED) {
    fail("cannot map", path_, errno);
  }
  bytes_ = {static_cast<const char*>(data), size};
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) {
    ::munmap(const_cast<char*>(bytes_.data()), bytes_.size());
  }
}

}  // namespace finescale
