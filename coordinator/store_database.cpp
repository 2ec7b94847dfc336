// SPDX-License-Identifier: Apache-2.0
#include "coordinator/store_database.h"

#include <sys/stat.h>

#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <optional>
#include <string_view>

#include "comm/rpc/address.h"
#include "core/crash_point.h"
#include "core/error.h"
#include "core/files.h"

namespace finescale {

namespace {

constexpr std::int64_t kVersion = 3;

// A stage's state and lease change often, its text hardly ever: it has a place of its own, so that
// a change writes one page with 40 such rows. A result comes with its state.
constexpr const char* kSchema = R"(
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS forms (id INTEGER PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS stages (id INTEGER PRIMARY KEY, key TEXT NOT NULL, label TEXT NOT NULL, form INTEGER NOT NULL, fillings TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS states (id INTEGER PRIMARY KEY, state INTEGER NOT NULL, epoch INTEGER NOT NULL, gang INTEGER NOT NULL,
  attempts INTEGER NOT NULL, error_kind TEXT NOT NULL, error TEXT NOT NULL, result BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS trials (id TEXT PRIMARY KEY, position INTEGER NOT NULL, text TEXT NOT NULL, stopped INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS gangs (id INTEGER PRIMARY KEY, pid INTEGER NOT NULL, host TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS tuned (tuning_group TEXT NOT NULL, path TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (tuning_group, path));
CREATE TABLE IF NOT EXISTS decisions (position INTEGER PRIMARY KEY AUTOINCREMENT, point INTEGER NOT NULL, why TEXT NOT NULL);
)";

// Version 1 had the whole text of a stage in its row.
constexpr const char* kFromVersion1 = R"(
INSERT INTO forms SELECT rowid, spec FROM stages_1;
INSERT INTO stages SELECT rowid, key, label, rowid, '' FROM stages_1;
INSERT INTO states SELECT rowid, state, epoch, gang, attempts, error_kind, error, result FROM stages_1;
DROP TABLE stages_1;
)";

// Version 2 had results in a table of their own.
constexpr const char* kFromVersion2 = R"(
INSERT INTO states SELECT id, state, epoch, gang, attempts, error_kind, error, COALESCE(result, x'') FROM states_2 LEFT JOIN results USING (id);
DROP TABLE states_2;
DROP TABLE results;
)";

bool holds_a_campaign(const std::string& directory) {
  const std::string sweeps = directory + "/sweeps";
  return path_exists(sweeps) && !std::filesystem::is_empty(sweeps);
}

[[noreturn]] void throw_damaged(const std::string& path, const std::string& why) {
  throw Error(ErrorKind::kCheckpoint, "the store of this campaign is damaged: " + why, path,
              "put back a copy; or move it (and store.sqlite-wal) away and run again: stages whose "
              "artifacts are whole count as done, failures and stopped trials are forgotten");
}

// quick_check reports a page that the file system does not give as it reports a bad one.
bool is_read_error(const std::string& answer) {
  constexpr std::string_view kCode = "error code=";
  const std::size_t at = answer.find(kCode);
  const int code = at == std::string::npos ? 0 : std::atoi(answer.c_str() + at + kCode.size());
  return (code & 0xff) == SQLITE_IOERR || answer.find("failed to get page") != std::string::npos;
}

// A store is used by one thread at a time, and nobody asks how much memory SQLite has: without that
// count it takes no lock for each allocation. Before SQLite's first use, later it has no effect.
void use_no_locks_in_memory() {
  static const int done = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
  (void)done;
}

// Who runs the campaign of this store, as it has written itself; "" when that cannot be read.
std::string holder_of(const std::string& path) {
  const std::string directory = std::filesystem::path(path).parent_path().string();
  const std::optional<CoordinatorAddress> address = read_address(directory);
  struct stat file {};
  if (!address || ::stat((directory + "/coordinator.json").c_str(), &file) != 0) {
    return "";
  }
  std::tm parts{};
  ::gmtime_r(&file.st_mtime, &parts);
  char since[32];
  std::strftime(since, sizeof since, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return " (process " + std::to_string(address->pid) + " on " + address->machine + " since " +
         since + ")";
}

}  // namespace

StoreDatabase::StoreDatabase(const std::string& directory, bool durable, const char* file_system) {
  make_directories(directory);
  const std::string path = directory + "/store.sqlite";
  if (path_exists(path) && std::filesystem::file_size(path) == 0 && holds_a_campaign(directory)) {
    throw_damaged(path, "it is empty");
  }
  use_no_locks_in_memory();
  sqlite3* raw = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &raw,
                                   SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                                   file_system);
  database_.reset(raw);
  if (code != SQLITE_OK) {
    fail("cannot open " + path);
  }
  // Exclusive locking keeps the WAL index in memory: no shared-memory file on a cluster's file
  // system.
  if (file_system != nullptr) {
    execute(
        "PRAGMA page_size = 1024");  // a simulated disk: a page that is torn, and little to copy
  }
  execute("PRAGMA locking_mode = EXCLUSIVE");
  execute("PRAGMA journal_mode = WAL");
  execute(durable ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = OFF");
  execute("PRAGMA cache_size = -16384");  // rows are met in the order of the plan, nearly
  // A log that is not folded in all the time; short campaigns on a simulated disk meet it, too.
  execute(file_system == nullptr ? "PRAGMA wal_autocheckpoint = 8192"
                                 : "PRAGMA wal_autocheckpoint = 100");
  execute("BEGIN IMMEDIATE");
  const bool is_new = bring_to_version(path) == 0;
  execute("COMMIT");
  if (is_new) {
    sync_directory(directory);
    crash_point("coordinator.after_store_created");
  } else if (sqlite3_stmt* check = prepare("PRAGMA quick_check(1)"); step(check)) {
    const std::string answer = text_of(check, 0);
    sqlite3_reset(check);
    if (is_read_error(answer)) {
      throw Error(ErrorKind::kIo, "the store cannot be read: " + answer, path);
    }
    if (answer != "ok") {
      throw_damaged(path, answer);
    }
  }
}

std::int64_t StoreDatabase::version() {
  sqlite3_stmt* known = prepare("SELECT 1 FROM sqlite_schema WHERE name = 'meta'");
  const bool has_meta = step(known);
  sqlite3_reset(known);
  if (!has_meta) {
    return 0;
  }
  sqlite3_stmt* value = prepare("SELECT value FROM meta WHERE name = 'schema_version'");
  const std::int64_t version = step(value) ? std::atoll(text_of(value, 0).c_str()) : 0;
  sqlite3_reset(value);
  return version;
}

std::int64_t StoreDatabase::bring_to_version(const std::string& path) {
  const std::int64_t before = version();
  if (before > kVersion) {
    rollback();
    throw Error(ErrorKind::kConfig,
                "the store is of version " + std::to_string(before) +
                    ", and this program knows versions up to " + std::to_string(kVersion),
                path, "go on with the finescale that wrote it; nothing was changed");
  }
  if (before == kVersion) {
    return before;
  }
  if (before == 1) {
    execute("ALTER TABLE stages RENAME TO stages_1");
  } else if (before == 2) {
    execute("ALTER TABLE states RENAME TO states_2");
  }
  execute(kSchema);
  if (before == 1) {
    execute(kFromVersion1);
  } else if (before == 2) {
    execute(kFromVersion2);
  }
  execute("INSERT OR REPLACE INTO meta VALUES ('schema_version', '3')");
  return before;
}

void StoreDatabase::fail(const std::string& what) const {
  const int code = sqlite3_errcode(database_.get());
  const char* file = sqlite3_db_filename(database_.get(), "main");
  const std::string path = file == nullptr ? "" : file;
  const std::string text = what + ": " + sqlite3_errmsg(database_.get());
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      throw Error(ErrorKind::kResource, "another coordinator runs this campaign" + holder_of(path),
                  path, "see `finescale status`; stop it with `finescale stop`");
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      throw_damaged(path, sqlite3_errmsg(database_.get()));
    case SQLITE_FULL:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
      throw Error(ErrorKind::kResource, "store: " + text, path,
                  "check the output directory's free space and permissions");
    default:
      throw Error(ErrorKind::kIo, "store: " + text, path);
  }
}

void StoreDatabase::execute(const char* sql) {
  if (sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) {
    fail(sql);
  }
}

sqlite3_stmt* StoreDatabase::prepare(const char* sql) {
  auto& statement = statements_[sql];
  if (!statement) {
    sqlite3_stmt* raw = nullptr;
    if (sqlite3_prepare_v3(database_.get(), sql, -1, SQLITE_PREPARE_PERSISTENT, &raw, nullptr) !=
        SQLITE_OK) {
      fail(sql);
    }
    statement.reset(raw);
  }
  sqlite3_reset(statement.get());
  return statement.get();
}

void StoreDatabase::finish(const char* sql) {
  sqlite3_stmt* statement = prepare(sql);
  if (sqlite3_step(statement) != SQLITE_DONE) {
    fail(sql);
  }
  sqlite3_reset(statement);
}

void StoreDatabase::run(sqlite3_stmt* statement) {
  const int code = sqlite3_step(statement);
  if (code != SQLITE_DONE) {
    fail("write");
  }
  sqlite3_reset(statement);
}

bool StoreDatabase::step(sqlite3_stmt* statement) {
  const int code = sqlite3_step(statement);
  if (code != SQLITE_ROW && code != SQLITE_DONE) {
    fail("read");
  }
  return code == SQLITE_ROW;
}

void StoreDatabase::rollback() noexcept {
  for (const auto& [sql, statement] : statements_) {
    sqlite3_reset(statement.get());
  }
  if (sqlite3_get_autocommit(database_.get()) == 0) {
    sqlite3_exec(database_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
  }
}

void bind_text(sqlite3_stmt* statement, int index, const std::string& text) {
  sqlite3_bind_text(statement, index, text.data(), static_cast<int>(text.size()), SQLITE_STATIC);
}

void bind_number(sqlite3_stmt* statement, int index, std::int64_t value) {
  sqlite3_bind_int64(statement, index, value);
}

void bind_blob(sqlite3_stmt* statement, int index, const std::string& bytes) {
  if (bytes.empty()) {
    sqlite3_bind_zeroblob(statement, index, 0);
    return;
  }
  sqlite3_bind_blob(statement, index, bytes.data(), static_cast<int>(bytes.size()), SQLITE_STATIC);
}

std::string text_of(sqlite3_stmt* statement, int column) {
  const auto* data = static_cast<const char*>(sqlite3_column_blob(statement, column));
  return {data == nullptr ? "" : data,
          static_cast<std::size_t>(sqlite3_column_bytes(statement, column))};
}

}  // namespace finescale
