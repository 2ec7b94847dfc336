// SPDX-License-Identifier: Apache-2.0
// A disk in memory, as an SQLite file system: what was written and not synced may be lost or torn
// when the machine dies. One thread; registered with SQLite under a name of its own while it lives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace finescale {

class SimulatedDisk {
 public:
  // What an access meets. kDies: at this sync; the disk answers nothing more until it is revived.
  enum class Trouble { kNone, kFull, kDies };
  // `uniform`: numbers in [0, 1) for what a crash keeps. `trouble`: asked at every sync.
  SimulatedDisk(std::function<double()> uniform, std::function<Trouble()> trouble);
  ~SimulatedDisk();
  SimulatedDisk(const SimulatedDisk&) = delete;
  SimulatedDisk& operator=(const SimulatedDisk&) = delete;

  [[nodiscard]] const char* vfs_name() const noexcept { return name_.c_str(); }
  // The machine dies now, unless it has: open files answer with errors from here on.
  void die();
  [[nodiscard]] bool is_dead() const noexcept { return dead_; }
  // It is there again. Files opened before stay dead.
  void revive();
  [[nodiscard]] std::size_t size_bytes() const;

  // Of the callbacks.
  struct Write {
    std::size_t at = 0;
    std::string bytes;
    bool is_truncation = false;  // to `at`
  };
  struct Content {
    std::string now;             // as readers see it
    std::string synced;          // as it surely is after a crash
    std::vector<Write> pending;  // what came since
  };
  Content* find(const std::string& path);
  Content& make(const std::string& path) { return *(files_[path] = std::make_unique<Content>()); }
  void remove(const std::string& path) { files_.erase(path); }
  [[nodiscard]] std::uint64_t life() const noexcept { return life_; }
  [[nodiscard]] Trouble trouble();
  [[nodiscard]] double uniform() const { return uniform_(); }

 private:
  void lose_unsynced(Content& content);

  struct Vfs;
  std::function<double()> uniform_;
  std::function<Trouble()> trouble_;
  std::string name_;
  std::unique_ptr<Vfs> vfs_;
  std::map<std::string, std::unique_ptr<Content>> files_;
  std::uint64_t life_ = 1;  // one more for each revival
  bool dead_ = false;
};

// The bytes with this write done.
void perform(const SimulatedDisk::Write& write, std::string& bytes);

}  // namespace finescale
