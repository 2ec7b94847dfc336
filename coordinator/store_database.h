// SPDX-License-Identifier: Apache-2.0
// The store's SQLite file: opened, checked, brought to the present layout; its statements and its
// errors. Part of the store alone.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

#include <sqlite3.h>

#include "core/unique_handle.h"

namespace finescale {

struct DatabaseTraits {
  using Handle = sqlite3*;
  static Handle invalid() noexcept { return nullptr; }
  static void destroy(Handle handle) noexcept { sqlite3_close(handle); }
};
struct StatementTraits {
  using Handle = sqlite3_stmt*;
  static Handle invalid() noexcept { return nullptr; }
  static void destroy(Handle handle) noexcept { sqlite3_finalize(handle); }
};

class StoreDatabase {
 public:
  // As Store's constructor.
  StoreDatabase(const std::string& directory, bool durable, const char* file_system);

  void execute(const char* sql);  // throws as run
  // A transaction's ends, which are prepared once: a campaign has two for each stage.
  void begin() { finish("BEGIN IMMEDIATE"); }
  void commit() { finish("COMMIT"); }
  // Reset and ready to be bound. `sql` is a literal: its address is its name.
  [[nodiscard]] sqlite3_stmt* prepare(const char* sql);
  // Throws kResource or kIo when the disk is full or fails (the same may succeed later),
  // kCheckpoint when the file is damaged.
  void run(sqlite3_stmt* statement);
  [[nodiscard]] bool step(sqlite3_stmt* statement);  // whether there is a row
  void rollback() noexcept;

 private:
  [[noreturn]] void fail(const std::string& what) const;
  void finish(const char* sql);                            // a statement without rows
  std::int64_t bring_to_version(const std::string& path);  // the version before; 0: new
  [[nodiscard]] std::int64_t version();

  UniqueHandle<DatabaseTraits> database_;
  std::unordered_map<const char*, UniqueHandle<StatementTraits>> statements_;
};

// Texts and bytes are not copied: they must live until the statement has run.
void bind_text(sqlite3_stmt* statement, int index, const std::string& text);
void bind_text(sqlite3_stmt* statement, int index, std::string&& text) = delete;
void bind_number(sqlite3_stmt* statement, int index, std::int64_t value);
void bind_blob(sqlite3_stmt* statement, int index, const std::string& bytes);
void bind_blob(sqlite3_stmt* statement, int index, std::string&& bytes) = delete;
[[nodiscard]] std::string text_of(sqlite3_stmt* statement, int column);

}  // namespace finescale
