// SPDX-License-Identifier: Apache-2.0
#include "coordinator/simulation/simulated_disk.h"

#include <algorithm>
#include <cstring>
#include <new>

#include <sqlite3.h>

#include "core/error.h"

namespace finescale {

namespace {

constexpr std::size_t kSectorBytes = 512;  // is written whole or not at all

// What SQLite holds of an open file; it gives the memory.
struct OpenFile {
  sqlite3_file base;
  SimulatedDisk* disk;
  std::string* path;
  SimulatedDisk::Content* content;
  std::uint64_t life;
  bool is_deleted_on_close;
};

OpenFile& open_file(sqlite3_file* file) {
  return *reinterpret_cast<OpenFile*>(file);
}

bool is_usable(const OpenFile& file) {
  return !file.disk->is_dead() && file.life == file.disk->life();
}

void write(OpenFile& file, SimulatedDisk::Write one) {
  perform(one, file.content->now);
  file.content->pending.push_back(std::move(one));
}

int on_close(sqlite3_file* f) {
  OpenFile& file = open_file(f);
  if (file.is_deleted_on_close && is_usable(file)) {
    file.disk->remove(*file.path);
  }
  delete file.path;  // NOLINT(cppcoreguidelines-owning-memory): SQLite's memory has no destructor
  return SQLITE_OK;
}

int on_read(sqlite3_file* f, void* out, int size, sqlite3_int64 at) {
  const OpenFile& file = open_file(f);
  if (!is_usable(file)) {
    return SQLITE_IOERR_READ;
  }
  const std::string& bytes = file.content->now;
  const auto begin = std::min(static_cast<std::size_t>(at), bytes.size());
  const auto count = std::min(static_cast<std::size_t>(size), bytes.size() - begin);
  std::memcpy(out, bytes.data() + begin, count);
  if (count == static_cast<std::size_t>(size)) {
    return SQLITE_OK;
  }
  std::memset(static_cast<char*>(out) + count, 0, static_cast<std::size_t>(size) - count);
  return SQLITE_IOERR_SHORT_READ;
}

int on_write(sqlite3_file* f, const void* bytes, int size, sqlite3_int64 at) {
  OpenFile& file = open_file(f);
  if (!is_usable(file)) {
    return SQLITE_IOERR_WRITE;
  }
  write(file, {static_cast<std::size_t>(at),
               {static_cast<const char*>(bytes), static_cast<std::size_t>(size)},
               false});
  return SQLITE_OK;
}

int on_truncate(sqlite3_file* f, sqlite3_int64 size) {
  OpenFile& file = open_file(f);
  if (!is_usable(file)) {
    return SQLITE_IOERR_TRUNCATE;
  }
  write(file, {static_cast<std::size_t>(size), {}, true});
  return SQLITE_OK;
}

int on_sync(sqlite3_file* f, int /*flags*/) {
  OpenFile& file = open_file(f);
  if (!is_usable(file)) {
    return SQLITE_IOERR_FSYNC;
  }
  switch (file.disk->trouble()) {
    case SimulatedDisk::Trouble::kFull:
      return SQLITE_FULL;
    case SimulatedDisk::Trouble::kDies:
      file.disk->die();
      return SQLITE_IOERR_FSYNC;
    case SimulatedDisk::Trouble::kNone:
      break;
  }
  for (const SimulatedDisk::Write& one : file.content->pending) {
    perform(one, file.content->synced);
  }
  file.content->pending.clear();
  return SQLITE_OK;
}

int on_size(sqlite3_file* f, sqlite3_int64* size) {
  *size = static_cast<sqlite3_int64>(open_file(f).content->now.size());
  return SQLITE_OK;
}

int on_lock(sqlite3_file* /*file*/, int /*level*/) {
  return SQLITE_OK;  // nobody else is there
}

int on_check_lock(sqlite3_file* /*file*/, int* is_locked) {
  *is_locked = 0;
  return SQLITE_OK;
}

int on_control(sqlite3_file* /*file*/, int /*what*/, void* /*argument*/) {
  return SQLITE_NOTFOUND;
}

int sector_size(sqlite3_file* /*file*/) {
  return static_cast<int>(kSectorBytes);
}

int characteristics(sqlite3_file* /*file*/) {
  return 0;  // promises nothing
}

// Version 1: no shared memory, which exclusive locking does without.
constexpr sqlite3_io_methods kMethods = {
    1,       on_close, on_read,       on_write,   on_truncate, on_sync,         on_size,
    on_lock, on_lock,  on_check_lock, on_control, sector_size, characteristics, nullptr,
    nullptr, nullptr,  nullptr,       nullptr,    nullptr};

SimulatedDisk& disk_of(sqlite3_vfs* vfs) {
  return *static_cast<SimulatedDisk*>(vfs->pAppData);
}

int on_open(sqlite3_vfs* vfs, const char* path, sqlite3_file* f, int flags, int* flags_out) {
  SimulatedDisk& disk = disk_of(vfs);
  f->pMethods = nullptr;
  const std::string name = path == nullptr ? "temporary" : path;
  SimulatedDisk::Content* content = disk.find(name);
  if (disk.is_dead() || (content == nullptr && (flags & SQLITE_OPEN_CREATE) == 0)) {
    return SQLITE_CANTOPEN;
  }
  new (f) OpenFile{{&kMethods},
                   &disk,
                   new std::string(name),  // NOLINT(cppcoreguidelines-owning-memory): see on_close
                   content == nullptr ? &disk.make(name) : content,
                   disk.life(),
                   (flags & SQLITE_OPEN_DELETEONCLOSE) != 0};
  if (flags_out != nullptr) {
    *flags_out = flags;
  }
  return SQLITE_OK;
}

int on_delete(sqlite3_vfs* vfs, const char* path, int /*sync*/) {
  if (disk_of(vfs).is_dead()) {
    return SQLITE_IOERR_DELETE;
  }
  disk_of(vfs).remove(path);
  return SQLITE_OK;
}

int on_access(sqlite3_vfs* vfs, const char* path, int /*flags*/, int* out) {
  *out = disk_of(vfs).find(path) != nullptr ? 1 : 0;
  return SQLITE_OK;
}

int on_full_path(sqlite3_vfs* /*vfs*/, const char* path, int size, char* out) {
  sqlite3_snprintf(size, out, "%s", path);
  return SQLITE_OK;
}

// The same seed must give the same run: no true randomness (WAL salts) and no true time.
int on_randomness(sqlite3_vfs* vfs, int size, char* out) {
  for (int i = 0; i < size; ++i) {
    out[i] = static_cast<char>(static_cast<int>(256 * disk_of(vfs).uniform()));
  }
  return size;
}

int on_sleep(sqlite3_vfs* /*vfs*/, int microseconds) {
  return microseconds;
}

int on_time(sqlite3_vfs* /*vfs*/, double* days) {
  *days = 2440587.5;
  return SQLITE_OK;
}

}  // namespace

void perform(const SimulatedDisk::Write& write, std::string& bytes) {
  if (write.is_truncation) {
    bytes.resize(write.at);
    return;
  }
  bytes.resize(std::max(bytes.size(), write.at + write.bytes.size()));
  bytes.replace(write.at, write.bytes.size(), write.bytes);
}

struct SimulatedDisk::Vfs : sqlite3_vfs {};

SimulatedDisk::SimulatedDisk(std::function<double()> uniform, std::function<Trouble()> trouble)
    : uniform_(std::move(uniform)),
      trouble_(std::move(trouble)),
      name_("finescale-disk-" + std::to_string(reinterpret_cast<std::uintptr_t>(this))),
      vfs_(std::make_unique<Vfs>()) {
  sqlite3_initialize();
  *static_cast<sqlite3_vfs*>(vfs_.get()) = {};
  vfs_->iVersion = 1;
  vfs_->szOsFile = sizeof(OpenFile);
  vfs_->mxPathname = 1024;
  vfs_->zName = name_.c_str();
  vfs_->pAppData = this;
  vfs_->xOpen = on_open;
  vfs_->xDelete = on_delete;
  vfs_->xAccess = on_access;
  vfs_->xFullPathname = on_full_path;
  vfs_->xRandomness = on_randomness;
  vfs_->xSleep = on_sleep;
  vfs_->xCurrentTime = on_time;
  FS_CHECK(sqlite3_vfs_register(vfs_.get(), 0) == SQLITE_OK, "SQLite takes no file system");
}

SimulatedDisk::~SimulatedDisk() {
  sqlite3_vfs_unregister(vfs_.get());
}

SimulatedDisk::Content* SimulatedDisk::find(const std::string& path) {
  const auto found = files_.find(path);
  return found == files_.end() ? nullptr : found->second.get();
}

SimulatedDisk::Trouble SimulatedDisk::trouble() {
  return trouble_ ? trouble_() : Trouble::kNone;
}

// Each write may have reached the disk, in part or not at all: a disk keeps no order.
void SimulatedDisk::lose_unsynced(Content& content) {
  for (Write& one : content.pending) {
    const double fate = uniform_();
    if (fate < 0.5) {
      continue;
    }
    if (fate < 0.6 && one.bytes.size() > kSectorBytes) {
      const double sectors = static_cast<double>(one.bytes.size() / kSectorBytes);
      one.bytes.resize(static_cast<std::size_t>(sectors * uniform_()) * kSectorBytes);
    }
    perform(one, content.synced);
  }
  content.pending.clear();
  content.now = content.synced;
}

void SimulatedDisk::die() {
  if (!dead_) {
    dead_ = true;
    for (const auto& [path, content] : files_) {
      lose_unsynced(*content);
    }
  }
}

void SimulatedDisk::revive() {
  ++life_;
  dead_ = false;
}

std::size_t SimulatedDisk::size_bytes() const {
  std::size_t size = 0;
  for (const auto& [path, content] : files_) {
    size += content->now.size();
  }
  return size;
}

}  // namespace finescale
