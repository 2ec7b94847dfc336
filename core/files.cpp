// SPDX-License-Identifier: Apache-2.0
#include "core/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "core/descriptor.h"
#include "core/error.h"

namespace finescale {

namespace {

[[noreturn]] void fail(const std::string& what, const std::string& path, int code) {
  switch (code) {
    case ENOSPC:
    case EDQUOT:
      throw Error(ErrorKind::kResource, what + ": no space left on device", path,
                  "free some space and run the same command again: nothing is lost");
    case EROFS:
    case EACCES:
    case EPERM:
      throw Error(ErrorKind::kResource, what + ": " + std::strerror(code), path,
                  "choose a writable directory (--set output=DIR)");
    default:
      throw Error(ErrorKind::kIo, what + ": " + std::strerror(code), path);
  }
}

void sync_path(const std::string& path, int flags) {
  const Descriptor descriptor(::open(path.c_str(), flags));
  if (!descriptor || ::fsync(descriptor.get()) != 0) {
    fail("cannot flush to disk", path, errno);
  }
}

// `path`: the name that an error tells.
Descriptor create(const std::string& file, const std::string& path, int mode) {
  Descriptor descriptor(::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
  if (!descriptor) {
    fail("cannot create", path, errno);
  }
  return descriptor;
}

// The error's number, or 0.
int write_all(const Descriptor& descriptor, std::string_view bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count = ::write(descriptor.get(), bytes.data() + done, bytes.size() - done);
    if (count < 0 && errno != EINTR) {
      return errno;
    }
    done += count < 0 ? 0 : static_cast<std::size_t>(count);
  }
  return 0;
}

std::string parent_of(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

}  // namespace

void write_file_atomically(const std::string& path, std::string_view bytes, int mode) {
  write_file_atomically(path, bytes, mode, [] {});
}

void write_file_atomically(const std::string& path, std::string_view bytes, int mode,
                           const std::function<void()>& before_rename) {
  const std::string beside = path + ".tmp." + std::to_string(::getpid());
  {
    const Descriptor descriptor = create(beside, path, mode);
    if (const int code = write_all(descriptor, bytes); code != 0) {
      ::unlink(beside.c_str());
      fail("cannot write", path, code);
    }
    if (::fsync(descriptor.get()) != 0) {
      const int code = errno;
      ::unlink(beside.c_str());
      fail("cannot flush to disk", path, code);
    }
  }
  try {
    before_rename();
  } catch (...) {
    ::unlink(beside.c_str());
    throw;
  }
  rename_durably(beside, path);
}

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  if (!in || path_is_directory(path)) {
    throw Error(ErrorKind::kIo,
                std::string("cannot read: ") + (errno != 0 ? std::strerror(errno) : "not a file"),
                path);
  }
  out << in.rdbuf();
  if (in.bad()) {
    throw Error(ErrorKind::kIo, "read error", path);
  }
  return std::move(out).str();
}

bool path_exists(const std::string& path) {
  std::error_code code;
  return std::filesystem::exists(path, code);
}

bool path_is_directory(const std::string& path) {
  std::error_code code;
  return std::filesystem::is_directory(path, code);
}

bool path_is_file(const std::string& path) {
  std::error_code code;
  return std::filesystem::is_regular_file(path, code);
}

void make_directories(const std::string& path) {
  std::error_code code;
  std::filesystem::create_directories(path, code);
  if (code) {
    fail("cannot create directory", path, code.value());
  }
}

void sync_file(const std::string& path) {
  sync_path(path, O_RDONLY | O_CLOEXEC);
}

void sync_directory(const std::string& path) {
  sync_path(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

void sync_file_system(const std::string& directory) {
  const Descriptor descriptor(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!descriptor || ::syncfs(descriptor.get()) != 0) {
    fail("cannot flush to disk", directory, errno);
  }
}

void write_file(const std::string& path, std::string_view bytes) {
  const Descriptor descriptor = create(path, path, 0644);
  if (const int code = write_all(descriptor, bytes); code != 0) {
    fail("cannot write", path, code);
  }
}

void rename_path(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) {
    fail("cannot rename " + from, to, errno);
  }
}

void rename_durably(const std::string& from, const std::string& to) {
  rename_path(from, to);
  sync_directory(parent_of(to));
}

}  // namespace finescale
