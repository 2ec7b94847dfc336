// SPDX-License-Identifier: Apache-2.0
#include "coordinator/store.h"

#include <cstddef>
#include <sstream>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <utility>

#include "configs/stage_form.h"
#include "coordinator/store_database.h"
#include "coordinator/write_behind.h"
#include "core/error.h"
#include "core/files.h"

namespace finescale {

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

namespace {

StageState state_from(std::int64_t number) {
  if (number < 0 || number > static_cast<std::int64_t>(StageState::kStopped)) {
    throw Error(ErrorKind::kCheckpoint,
                "the store has a stage in state " + std::to_string(number) + ", which is none");
  }
  return static_cast<StageState>(number);
}

// As much of it as put_state writes.
StoredStage state_of(const StoredStage& stage) {
  StoredStage state;
  state.row = stage.row;
  state.state = stage.state;
  state.epoch = stage.epoch;
  state.gang = stage.gang;
  state.attempts = stage.attempts;
  state.error_kind = stage.error_kind;
  state.error = stage.error;
  state.result = stage.result;
  return state;
}

void put_state(StoreDatabase& database, const StoredStage& stage) {
  sqlite3_stmt* s =
      database.prepare("INSERT OR REPLACE INTO states VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
  bind_number(s, 1, stage.row);
  bind_number(s, 2, static_cast<std::int64_t>(stage.state));
  bind_number(s, 3, stage.epoch);
  bind_number(s, 4, stage.gang);
  bind_number(s, 5, static_cast<std::int64_t>(stage.attempts));
  bind_text(s, 6, stage.error_kind);
  bind_text(s, 7, stage.error);
  bind_blob(s, 8, stage.result);
  database.run(s);
}

}  // namespace

struct Store::Impl {
  Impl(const std::string& directory, Commits commits, const char* file_system)
      : database(directory, commits == Commits::kFlushed, file_system) {
    if (commits == Commits::kBehind) {
      behind.emplace();
    }
  }

  // To be read, or to be rolled back.
  StoreDatabase& settled() {
    if (behind) {
      behind->settle();
    }
    return database;
  }
  // `put` gets the row: now, or behind a copy of it.
  template <typename Row, typename Put>
  void write(Row&& row, Put put) {
    if (behind) {
      behind->add(
          [this, copy = std::decay_t<Row>(std::forward<Row>(row)), put] { put(database, copy); });
    } else {
      put(database, row);
    }
  }
  std::int64_t largest(const char* sql) {
    sqlite3_stmt* statement = database.prepare(sql);
    const std::int64_t value = database.step(statement) ? sqlite3_column_int64(statement, 0) : 0;
    sqlite3_reset(statement);
    return value;
  }
  void read_forms();

  StoreDatabase database;          // of the thread of `behind`, until that is settled
  std::int64_t next_position = 0;  // of a trial that is new
  std::int64_t last_row = 0;       // of the stages
  std::unordered_map<std::string, std::int64_t> forms;  // by text
  std::unordered_map<std::int64_t, const std::string*> form_texts;
  std::optional<WriteBehind> behind;  // last: it ends before what it writes to
};

void Store::Impl::read_forms() {
  sqlite3_stmt* s = database.prepare("SELECT id, text FROM forms ORDER BY id");
  while (database.step(s)) {
    const std::int64_t id = sqlite3_column_int64(s, 0);
    const auto place = forms.emplace(text_of(s, 1), id).first;
    form_texts.emplace(id, &place->first);
  }
}

Store::Store(const std::string& directory, Commits commits, const char* file_system)
    : impl_(std::make_unique<Impl>(directory, commits, file_system)) {
  impl_->next_position = impl_->largest("SELECT COALESCE(MAX(position), -1) FROM trials") + 1;
  impl_->last_row = impl_->largest("SELECT COALESCE(MAX(id), 0) FROM stages");
  impl_->read_forms();
}

Store::~Store() = default;

bool Store::is_held(const std::string& directory) {
  const std::string path = directory + "/store.sqlite";
  if (!path_exists(path)) {
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
  impl_->write(nullptr, [](StoreDatabase& database, std::nullptr_t) { database.begin(); });
}

void Store::commit() {
  impl_->write(nullptr, [](StoreDatabase& database, std::nullptr_t) { database.commit(); });
}

void Store::rollback() noexcept {
  if (impl_->behind) {
    impl_->behind->finish();
  }
  impl_->database.rollback();
}

void Store::settle() {
  (void)impl_->settled();
}

double Store::seconds_behind() {
  return impl_->behind ? impl_->behind->busy_seconds() : 0;
}

std::optional<std::string> Store::meta(const std::string& name) {
  StoreDatabase& database = impl_->settled();
  sqlite3_stmt* statement = database.prepare("SELECT value FROM meta WHERE name = ?");
  bind_text(statement, 1, name);
  std::optional<std::string> value;
  if (database.step(statement)) {
    value = text_of(statement, 0);
  }
  sqlite3_reset(statement);
  return value;
}

void Store::set_meta(const std::string& name, const std::string& value) {
  impl_->write(std::pair(name, value), [](StoreDatabase& database, const auto& row) {
    sqlite3_stmt* s = database.prepare("INSERT OR REPLACE INTO meta VALUES (?, ?)");
    bind_text(s, 1, row.first);
    bind_text(s, 2, row.second);
    database.run(s);
  });
}

std::int64_t Store::put_form(const std::string& text) {
  const auto [place, is_new] = impl_->forms.try_emplace(text, 0);
  if (is_new) {
    place->second = static_cast<std::int64_t>(impl_->forms.size());
    while (impl_->form_texts.contains(place->second)) {
      ++place->second;
    }
    impl_->form_texts.emplace(place->second, &place->first);
    impl_->write(std::pair(place->second, text), [](StoreDatabase& database, const auto& row) {
      sqlite3_stmt* s = database.prepare("INSERT INTO forms VALUES (?, ?)");
      bind_number(s, 1, row.first);
      bind_text(s, 2, row.second);
      database.run(s);
    });
  }
  return place->second;
}

void Store::put_stage(StoredStage& stage) {
  if (stage.row == 0) {
    stage.row = ++impl_->last_row;
  }
  impl_->write(stage, [](StoreDatabase& database, const StoredStage& row) {
    sqlite3_stmt* s = database.prepare("INSERT OR REPLACE INTO stages VALUES (?, ?, ?, ?, ?)");
    bind_number(s, 1, row.row);
    bind_text(s, 2, row.key);
    bind_text(s, 3, row.label);
    bind_number(s, 4, row.form);
    bind_text(s, 5, row.fillings);
    database.run(s);
    put_state(database, row);
  });
}

void Store::update_stage(const StoredStage& stage) {
  FS_CHECK(stage.row != 0, "stage " + stage.key + " is not in the store");
  if (impl_->behind) {
    impl_->write(state_of(stage), put_state);
  } else {
    put_state(impl_->database, stage);
  }
}

std::string Store::spec_of(const StoredStage& stage) {
  const auto form = impl_->form_texts.find(stage.form);
  if (form == impl_->form_texts.end()) {
    throw Error(ErrorKind::kCheckpoint, "the store does not say what stage " + stage.key + " is");
  }
  return filled(*form->second, stage.fillings);
}

void Store::put_trial(const StoredTrial& trial) {
  impl_->write(
      trial, [position = impl_->next_position++](StoreDatabase& database, const StoredTrial& row) {
        sqlite3_stmt* s = database.prepare(
            "INSERT INTO trials VALUES (?1, ?2, ?3, ?4) ON CONFLICT (id) DO UPDATE SET text = ?3, "
            "stopped = ?4");
        bind_text(s, 1, row.id);
        bind_number(s, 2, position);
        bind_text(s, 3, row.text);
        bind_number(s, 4, static_cast<std::int64_t>(row.stopped));
        database.run(s);
      });
}

void Store::put_gang(const StoredGang& gang) {
  impl_->write(gang, [](StoreDatabase& database, const StoredGang& row) {
    sqlite3_stmt* s = database.prepare("INSERT OR REPLACE INTO gangs VALUES (?, ?, ?)");
    bind_number(s, 1, row.id);
    bind_number(s, 2, row.pid);
    bind_text(s, 3, row.host);
    database.run(s);
  });
}

void Store::remove_gang(std::int64_t id) {
  impl_->write(id, [](StoreDatabase& database, std::int64_t gang) {
    sqlite3_stmt* s = database.prepare("DELETE FROM gangs WHERE id = ?");
    bind_number(s, 1, gang);
    database.run(s);
  });
}

void Store::put_tuned(const std::string& group, const std::string& path, const std::string& value) {
  impl_->write(std::tuple(group, path, value), [](StoreDatabase& database, const auto& row) {
    sqlite3_stmt* s = database.prepare("INSERT OR REPLACE INTO tuned VALUES (?, ?, ?)");
    bind_text(s, 1, std::get<0>(row));
    bind_text(s, 2, std::get<1>(row));
    bind_text(s, 3, std::get<2>(row));
    database.run(s);
  });
}

void Store::add_decision(const StoredDecision& decision) {
  impl_->write(decision, [](StoreDatabase& database, const StoredDecision& row) {
    sqlite3_stmt* s = database.prepare("INSERT INTO decisions (point, why) VALUES (?, ?)");
    bind_number(s, 1, static_cast<std::int64_t>(row.point));
    bind_text(s, 2, row.why);
    database.run(s);
  });
}

std::vector<StoredStage> Store::stages() {
  StoreDatabase& database = impl_->settled();
  std::vector<StoredStage> out;
  sqlite3_stmt* s = database.prepare(
      "SELECT id, key, label, form, fillings, state, epoch, gang, attempts, error_kind, error, "
      "result FROM stages JOIN states USING (id) ORDER BY id");
  while (database.step(s)) {
    StoredStage stage;
    stage.row = sqlite3_column_int64(s, 0);
    stage.key = text_of(s, 1);
    stage.label = text_of(s, 2);
    stage.form = sqlite3_column_int64(s, 3);
    stage.fillings = text_of(s, 4);
    stage.state = state_from(sqlite3_column_int64(s, 5));
    stage.epoch = sqlite3_column_int64(s, 6);
    stage.gang = sqlite3_column_int64(s, 7);
    stage.attempts = static_cast<int>(sqlite3_column_int64(s, 8));
    stage.error_kind = text_of(s, 9);
    stage.error = text_of(s, 10);
    stage.result = text_of(s, 11);
    out.push_back(std::move(stage));
  }
  return out;
}

std::vector<std::pair<std::string, StageState>> Store::states() {
  StoreDatabase& database = impl_->settled();
  std::vector<std::pair<std::string, StageState>> out;
  sqlite3_stmt* s =
      database.prepare("SELECT key, state FROM stages JOIN states USING (id) ORDER BY id");
  while (database.step(s)) {
    out.emplace_back(text_of(s, 0), state_from(sqlite3_column_int64(s, 1)));
  }
  return out;
}

std::vector<StoredTrial> Store::trials() {
  StoreDatabase& database = impl_->settled();
  std::vector<StoredTrial> out;
  sqlite3_stmt* s = database.prepare("SELECT id, text, stopped FROM trials ORDER BY position");
  while (database.step(s)) {
    out.push_back({text_of(s, 0), text_of(s, 1), sqlite3_column_int64(s, 2) != 0});
  }
  return out;
}

std::vector<StoredGang> Store::gangs() {
  StoreDatabase& database = impl_->settled();
  std::vector<StoredGang> out;
  sqlite3_stmt* s = database.prepare("SELECT id, pid, host FROM gangs ORDER BY id");
  while (database.step(s)) {
    out.push_back({sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1), text_of(s, 2)});
  }
  return out;
}

std::vector<StoredDecision> Store::decisions() {
  StoreDatabase& database = impl_->settled();
  std::vector<StoredDecision> out;
  sqlite3_stmt* s = database.prepare("SELECT point, why FROM decisions ORDER BY position");
  while (database.step(s)) {
    out.push_back({static_cast<std::uint64_t>(sqlite3_column_int64(s, 0)), text_of(s, 1)});
  }
  return out;
}

std::set<std::string> pruned_stages(Store& store) {
  std::istringstream in(store.meta("pruned").value_or(""));
  std::set<std::string> keys;
  for (std::string key; in >> key;) {
    keys.insert(key);
  }
  return keys;
}

void put_pruned_stages(Store& store, const std::set<std::string>& keys) {
  std::string text;
  for (const std::string& key : keys) {
    text += key + "\n";
  }
  store.set_meta("pruned", text);
}

std::map<std::string, std::map<std::string, std::string>> Store::tuned() {
  StoreDatabase& database = impl_->settled();
  std::map<std::string, std::map<std::string, std::string>> out;
  sqlite3_stmt* s = database.prepare("SELECT tuning_group, path, value FROM tuned");
  while (database.step(s)) {
    out[text_of(s, 0)][text_of(s, 1)] = text_of(s, 2);
  }
  return out;
}

}  // namespace finescale
