// SPDX-License-Identifier: Apache-2.0
#include "coordinator/store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <filesystem>

#include <sqlite3.h>

#include "core/crash_point.h"
#include "core/error.h"
#include "core/files.h"
#include "core/unique_handle.h"

namespace finescale {

namespace {

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

constexpr const char* kSchema = R"(
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS stages (key TEXT PRIMARY KEY, label TEXT NOT NULL, spec TEXT NOT NULL, state INTEGER NOT NULL,
  epoch INTEGER NOT NULL, gang INTEGER NOT NULL, attempts INTEGER NOT NULL, error_kind TEXT NOT NULL, error TEXT NOT NULL,
  result BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS trials (id TEXT PRIMARY KEY, position INTEGER NOT NULL, text TEXT NOT NULL, stopped INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS gangs (id INTEGER PRIMARY KEY, pid INTEGER NOT NULL, host TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS tuned (tuning_group TEXT NOT NULL, path TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (tuning_group, path));
CREATE TABLE IF NOT EXISTS decisions (position INTEGER PRIMARY KEY AUTOINCREMENT, point INTEGER NOT NULL, why TEXT NOT NULL);
)";

}  // namespace

const char* stage_state_name(StageState state) noexcept {
  switch (state) {
    case StageState::kPending:
      return "pending";
    case StageState::kRunning:
      return "running";
    case StageState::kDone:
      return "done";
    case StageState::kFailed:
      return "failed";
    case StageState::kStopped:
      return "stopped";
  }
  return "?";
}

struct Store::Impl {
  UniqueHandle<DatabaseTraits> database;
  std::map<std::string, UniqueHandle<StatementTraits>> statements;
  std::int64_t next_position = 0;  // of a trial that is new

  [[noreturn]] void fail(const std::string& what) const {
    const int code = sqlite3_errcode(database.get());
    const std::string text = what + ": " + sqlite3_errmsg(database.get());
    if (code == SQLITE_BUSY || code == SQLITE_LOCKED) {
      throw Error(ErrorKind::kConfig, "another coordinator runs this campaign",
                  sqlite3_db_filename(database.get(), "main"),
                  "see `finescale status`; stop it with `finescale stop`");
    }
    if (code == SQLITE_FULL || code == SQLITE_READONLY || code == SQLITE_CANTOPEN ||
        code == SQLITE_PERM) {
      throw Error(ErrorKind::kResource, "store: " + text, {},
                  "check the output directory's free space and permissions");
    }
    throw Error(ErrorKind::kIo, "store: " + text);
  }

  void execute(const char* sql) {
    if (sqlite3_exec(database.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) {
      fail(sql);
    }
  }

  sqlite3_stmt* prepare(const char* sql) {
    auto& statement = statements[sql];
    if (!statement) {
      sqlite3_stmt* raw = nullptr;
      if (sqlite3_prepare_v2(database.get(), sql, -1, &raw, nullptr) != SQLITE_OK) {
        fail(sql);
      }
      statement.reset(raw);
    }
    sqlite3_reset(statement.get());
    return statement.get();
  }

  static void bind(sqlite3_stmt* statement, int index, const std::string& text) {
    sqlite3_bind_text(statement, index, text.data(), static_cast<int>(text.size()),
                      SQLITE_TRANSIENT);
  }
  static void bind_blob(sqlite3_stmt* statement, int index, const std::string& bytes) {
    sqlite3_bind_blob(statement, index, bytes.data(), static_cast<int>(bytes.size()),
                      SQLITE_TRANSIENT);
  }
  static void bind(sqlite3_stmt* statement, int index, std::int64_t value) {
    sqlite3_bind_int64(statement, index, value);
  }
  static std::string text(sqlite3_stmt* statement, int column) {
    const auto* data = static_cast<const char*>(sqlite3_column_blob(statement, column));
    return {data == nullptr ? "" : data,
            static_cast<std::size_t>(sqlite3_column_bytes(statement, column))};
  }

  void run(sqlite3_stmt* statement) {
    if (sqlite3_step(statement) != SQLITE_DONE) {
      fail("write");
    }
  }
  bool step(sqlite3_stmt* statement) {
    const int code = sqlite3_step(statement);
    if (code != SQLITE_ROW && code != SQLITE_DONE) {
      fail("read");
    }
    return code == SQLITE_ROW;
  }
};

Store::Store(const std::string& directory, bool durable) : impl_(std::make_unique<Impl>()) {
  make_directories(directory);
  const std::string path = directory + "/store.sqlite";
  const bool is_new = !std::filesystem::exists(path);
  sqlite3* raw = nullptr;
  const int code = sqlite3_open(path.c_str(), &raw);
  impl_->database.reset(raw);
  if (code != SQLITE_OK) {
    impl_->fail("cannot open " + path);
  }
  // Exclusive locking keeps the WAL index in memory: no shared-memory file on a cluster's file
  // system.
  impl_->execute("PRAGMA locking_mode = EXCLUSIVE");
  impl_->execute("PRAGMA journal_mode = WAL");
  impl_->execute(durable ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = OFF");
  // Pages are read and written in the order of keys, which are random: room for a large campaign's
  // index, and a log that is not folded in all the time.
  impl_->execute("PRAGMA cache_size = -65536");
  impl_->execute("PRAGMA wal_autocheckpoint = 8192");
  impl_->execute("BEGIN IMMEDIATE");
  impl_->execute(kSchema);
  impl_->execute("INSERT OR IGNORE INTO meta VALUES ('schema_version', '1')");
  impl_->execute("COMMIT");
  if (is_new) {
    sync_directory(directory);
    crash_point("coordinator.after_store_created");
  }
  sqlite3_stmt* last = impl_->prepare("SELECT COALESCE(MAX(position), -1) FROM trials");
  (void)impl_->step(last);
  impl_->next_position = sqlite3_column_int64(last, 0) + 1;
  sqlite3_reset(last);
}

Store::~Store() {
  if (impl_ != nullptr) {
    impl_->statements.clear();  // before the database they belong to
  }
}

bool Store::is_held(const std::string& directory) {
  const std::string path = directory + "/store.sqlite";
  if (!std::filesystem::exists(path)) {
    return false;
  }
  sqlite3* raw = nullptr;
  int code = sqlite3_open(path.c_str(), &raw);
  const UniqueHandle<DatabaseTraits> database(raw);
  for (const char* sql : {"PRAGMA locking_mode = EXCLUSIVE", "BEGIN IMMEDIATE", "ROLLBACK"}) {
    if (code == SQLITE_OK) {
      code = sqlite3_exec(database.get(), sql, nullptr, nullptr, nullptr);
    }
  }
  return code == SQLITE_BUSY || code == SQLITE_LOCKED;
}

void Store::begin() {
  impl_->execute("BEGIN IMMEDIATE");
}

void Store::commit() {
  impl_->execute("COMMIT");
}

std::optional<std::string> Store::meta(const std::string& name) {
  sqlite3_stmt* statement = impl_->prepare("SELECT value FROM meta WHERE name = ?");
  Impl::bind(statement, 1, name);
  std::optional<std::string> value;
  if (impl_->step(statement)) {
    value = Impl::text(statement, 0);
  }
  sqlite3_reset(statement);
  return value;
}

void Store::set_meta(const std::string& name, const std::string& value) {
  sqlite3_stmt* statement = impl_->prepare("INSERT OR REPLACE INTO meta VALUES (?, ?)");
  Impl::bind(statement, 1, name);
  Impl::bind(statement, 2, value);
  impl_->run(statement);
}

void Store::put_stage(const StoredStage& stage) {
  sqlite3_stmt* s =
      impl_->prepare("INSERT OR REPLACE INTO stages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  Impl::bind(s, 1, stage.key);
  Impl::bind(s, 2, stage.label);
  Impl::bind(s, 3, stage.spec);
  Impl::bind(s, 4, static_cast<std::int64_t>(stage.state));
  Impl::bind(s, 5, stage.epoch);
  Impl::bind(s, 6, stage.gang);
  Impl::bind(s, 7, static_cast<std::int64_t>(stage.attempts));
  Impl::bind(s, 8, stage.error_kind);
  Impl::bind(s, 9, stage.error);
  Impl::bind_blob(s, 10, stage.result);
  if (stage.result.empty()) {
    sqlite3_bind_zeroblob(s, 10, 0);
  }
  impl_->run(s);
}

void Store::update_stage(const StoredStage& stage) {
  sqlite3_stmt* s = impl_->prepare(
      "UPDATE stages SET state = ?, epoch = ?, gang = ?, attempts = ?, error_kind = ?, error = ?, "
      "result = ? WHERE key = ?");
  Impl::bind(s, 1, static_cast<std::int64_t>(stage.state));
  Impl::bind(s, 2, stage.epoch);
  Impl::bind(s, 3, stage.gang);
  Impl::bind(s, 4, static_cast<std::int64_t>(stage.attempts));
  Impl::bind(s, 5, stage.error_kind);
  Impl::bind(s, 6, stage.error);
  Impl::bind_blob(s, 7, stage.result);
  if (stage.result.empty()) {
    sqlite3_bind_zeroblob(s, 7, 0);
  }
  Impl::bind(s, 8, stage.key);
  impl_->run(s);
}

std::string Store::spec_of(const std::string& key) {
  sqlite3_stmt* s = impl_->prepare("SELECT spec FROM stages WHERE key = ?");
  Impl::bind(s, 1, key);
  if (!impl_->step(s)) {
    throw Error(ErrorKind::kInternal, "stage " + key + " is not in the store");
  }
  std::string spec = Impl::text(s, 0);
  sqlite3_reset(s);
  return spec;
}

void Store::put_trial(const StoredTrial& trial) {
  sqlite3_stmt* s = impl_->prepare(
      "INSERT INTO trials VALUES (?1, ?2, ?3, ?4) ON CONFLICT (id) DO UPDATE SET text = ?3, "
      "stopped = ?4");
  Impl::bind(s, 1, trial.id);
  Impl::bind(s, 2, impl_->next_position++);
  Impl::bind(s, 3, trial.text);
  Impl::bind(s, 4, static_cast<std::int64_t>(trial.stopped));
  impl_->run(s);
}

void Store::put_gang(const StoredGang& gang) {
  sqlite3_stmt* s = impl_->prepare("INSERT OR REPLACE INTO gangs VALUES (?, ?, ?)");
  Impl::bind(s, 1, gang.id);
  Impl::bind(s, 2, gang.pid);
  Impl::bind(s, 3, gang.host);
  impl_->run(s);
}

void Store::remove_gang(std::int64_t id) {
  sqlite3_stmt* s = impl_->prepare("DELETE FROM gangs WHERE id = ?");
  Impl::bind(s, 1, id);
  impl_->run(s);
}

void Store::put_tuned(const std::string& group, const std::string& path, const std::string& value) {
  sqlite3_stmt* s = impl_->prepare("INSERT OR REPLACE INTO tuned VALUES (?, ?, ?)");
  Impl::bind(s, 1, group);
  Impl::bind(s, 2, path);
  Impl::bind(s, 3, value);
  impl_->run(s);
}

void Store::add_decision(const StoredDecision& decision) {
  sqlite3_stmt* s = impl_->prepare("INSERT INTO decisions (point, why) VALUES (?, ?)");
  Impl::bind(s, 1, static_cast<std::int64_t>(decision.point));
  Impl::bind(s, 2, decision.why);
  impl_->run(s);
}

std::vector<StoredStage> Store::stages() {
  std::vector<StoredStage> out;
  sqlite3_stmt* s = impl_->prepare("SELECT * FROM stages ORDER BY key");
  while (impl_->step(s)) {
    StoredStage stage;
    stage.key = Impl::text(s, 0);
    stage.label = Impl::text(s, 1);
    stage.spec = Impl::text(s, 2);
    stage.state = static_cast<StageState>(sqlite3_column_int64(s, 3));
    stage.epoch = sqlite3_column_int64(s, 4);
    stage.gang = sqlite3_column_int64(s, 5);
    stage.attempts = static_cast<int>(sqlite3_column_int64(s, 6));
    stage.error_kind = Impl::text(s, 7);
    stage.error = Impl::text(s, 8);
    stage.result = Impl::text(s, 9);
    out.push_back(std::move(stage));
  }
  return out;
}

std::map<std::string, StageState> Store::states() {
  std::map<std::string, StageState> out;
  sqlite3_stmt* s = impl_->prepare("SELECT key, state FROM stages ORDER BY key");
  while (impl_->step(s)) {
    out.emplace_hint(out.end(), Impl::text(s, 0),
                     static_cast<StageState>(sqlite3_column_int64(s, 1)));
  }
  return out;
}

std::vector<StoredTrial> Store::trials() {
  std::vector<StoredTrial> out;
  sqlite3_stmt* s = impl_->prepare("SELECT id, text, stopped FROM trials ORDER BY position");
  while (impl_->step(s)) {
    out.push_back({Impl::text(s, 0), Impl::text(s, 1), sqlite3_column_int64(s, 2) != 0});
  }
  return out;
}

std::vector<StoredGang> Store::gangs() {
  std::vector<StoredGang> out;
  sqlite3_stmt* s = impl_->prepare("SELECT id, pid, host FROM gangs ORDER BY id");
  while (impl_->step(s)) {
    out.push_back({sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1), Impl::text(s, 2)});
  }
  return out;
}

std::vector<StoredDecision> Store::decisions() {
  std::vector<StoredDecision> out;
  sqlite3_stmt* s = impl_->prepare("SELECT point, why FROM decisions ORDER BY position");
  while (impl_->step(s)) {
    out.push_back({static_cast<std::uint64_t>(sqlite3_column_int64(s, 0)), Impl::text(s, 1)});
  }
  return out;
}

std::map<std::string, std::map<std::string, std::string>> Store::tuned() {
  std::map<std::string, std::map<std::string, std::string>> out;
  sqlite3_stmt* s = impl_->prepare("SELECT tuning_group, path, value FROM tuned");
  while (impl_->step(s)) {
    out[Impl::text(s, 0)][Impl::text(s, 1)] = Impl::text(s, 2);
  }
  return out;
}

}  // namespace finescale
