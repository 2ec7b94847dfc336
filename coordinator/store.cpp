// SPDX-License-Identifier: Apache-2.0
#include "coordinator/store.h"

#include <filesystem>
#include <sstream>
#include <unordered_map>

#include "configs/stage_form.h"
#include "coordinator/store_database.h"
#include "core/error.h"

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

}  // namespace

struct Store::Impl {
  Impl(const std::string& directory, bool durable, const char* file_system)
      : database(directory, durable, file_system) {}

  std::int64_t largest(const char* sql) {
    sqlite3_stmt* statement = database.prepare(sql);
    const std::int64_t value = database.step(statement) ? sqlite3_column_int64(statement, 0) : 0;
    sqlite3_reset(statement);
    return value;
  }
  void put_state(const StoredStage& stage);
  void read_forms();

  StoreDatabase database;
  std::int64_t next_position = 0;                       // of a trial that is new
  std::int64_t last_row = 0;                            // of the stages
  std::unordered_map<std::string, std::int64_t> forms;  // by text
  std::unordered_map<std::int64_t, const std::string*> form_texts;
};

void Store::Impl::read_forms() {
  sqlite3_stmt* s = database.prepare("SELECT id, text FROM forms ORDER BY id");
  while (database.step(s)) {
    const std::int64_t id = sqlite3_column_int64(s, 0);
    const auto place = forms.emplace(text_of(s, 1), id).first;
    form_texts.emplace(id, &place->first);
  }
}

Store::Store(const std::string& directory, bool durable, const char* file_system)
    : impl_(std::make_unique<Impl>(directory, durable, file_system)) {
  impl_->next_position = impl_->largest("SELECT COALESCE(MAX(position), -1) FROM trials") + 1;
  impl_->last_row = impl_->largest("SELECT COALESCE(MAX(id), 0) FROM stages");
  impl_->read_forms();
}

Store::~Store() = default;

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
  impl_->database.begin();
}

void Store::commit() {
  impl_->database.commit();
}

void Store::rollback() noexcept {
  impl_->database.rollback();
}

std::optional<std::string> Store::meta(const std::string& name) {
  sqlite3_stmt* statement = impl_->database.prepare("SELECT value FROM meta WHERE name = ?");
  bind_text(statement, 1, name);
  std::optional<std::string> value;
  if (impl_->database.step(statement)) {
    value = text_of(statement, 0);
  }
  sqlite3_reset(statement);
  return value;
}

void Store::set_meta(const std::string& name, const std::string& value) {
  sqlite3_stmt* statement = impl_->database.prepare("INSERT OR REPLACE INTO meta VALUES (?, ?)");
  bind_text(statement, 1, name);
  bind_text(statement, 2, value);
  impl_->database.run(statement);
}

std::int64_t Store::put_form(const std::string& text) {
  const auto [place, is_new] = impl_->forms.try_emplace(text, 0);
  if (is_new) {
    place->second = static_cast<std::int64_t>(impl_->forms.size());
    while (impl_->form_texts.contains(place->second)) {
      ++place->second;
    }
    impl_->form_texts.emplace(place->second, &place->first);
    sqlite3_stmt* s = impl_->database.prepare("INSERT INTO forms VALUES (?, ?)");
    bind_number(s, 1, place->second);
    bind_text(s, 2, text);
    impl_->database.run(s);
  }
  return place->second;
}

void Store::Impl::put_state(const StoredStage& stage) {
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

void Store::put_stage(StoredStage& stage) {
  if (stage.row == 0) {
    stage.row = ++impl_->last_row;
  }
  sqlite3_stmt* s = impl_->database.prepare("INSERT OR REPLACE INTO stages VALUES (?, ?, ?, ?, ?)");
  bind_number(s, 1, stage.row);
  bind_text(s, 2, stage.key);
  bind_text(s, 3, stage.label);
  bind_number(s, 4, stage.form);
  bind_text(s, 5, stage.fillings);
  impl_->database.run(s);
  impl_->put_state(stage);
}

void Store::update_stage(const StoredStage& stage) {
  FS_CHECK(stage.row != 0, "stage " + stage.key + " is not in the store");
  impl_->put_state(stage);
}

std::string Store::spec_of(const StoredStage& stage) {
  const auto form = impl_->form_texts.find(stage.form);
  if (form == impl_->form_texts.end()) {
    throw Error(ErrorKind::kCheckpoint, "the store does not say what stage " + stage.key + " is");
  }
  return filled(*form->second, stage.fillings);
}

void Store::put_trial(const StoredTrial& trial) {
  sqlite3_stmt* s = impl_->database.prepare(
      "INSERT INTO trials VALUES (?1, ?2, ?3, ?4) ON CONFLICT (id) DO UPDATE SET text = ?3, "
      "stopped = ?4");
  bind_text(s, 1, trial.id);
  bind_number(s, 2, impl_->next_position++);
  bind_text(s, 3, trial.text);
  bind_number(s, 4, static_cast<std::int64_t>(trial.stopped));
  impl_->database.run(s);
}

void Store::put_gang(const StoredGang& gang) {
  sqlite3_stmt* s = impl_->database.prepare("INSERT OR REPLACE INTO gangs VALUES (?, ?, ?)");
  bind_number(s, 1, gang.id);
  bind_number(s, 2, gang.pid);
  bind_text(s, 3, gang.host);
  impl_->database.run(s);
}

void Store::remove_gang(std::int64_t id) {
  sqlite3_stmt* s = impl_->database.prepare("DELETE FROM gangs WHERE id = ?");
  bind_number(s, 1, id);
  impl_->database.run(s);
}

void Store::put_tuned(const std::string& group, const std::string& path, const std::string& value) {
  sqlite3_stmt* s = impl_->database.prepare("INSERT OR REPLACE INTO tuned VALUES (?, ?, ?)");
  bind_text(s, 1, group);
  bind_text(s, 2, path);
  bind_text(s, 3, value);
  impl_->database.run(s);
}

void Store::add_decision(const StoredDecision& decision) {
  sqlite3_stmt* s = impl_->database.prepare("INSERT INTO decisions (point, why) VALUES (?, ?)");
  bind_number(s, 1, static_cast<std::int64_t>(decision.point));
  bind_text(s, 2, decision.why);
  impl_->database.run(s);
}

std::vector<StoredStage> Store::stages() {
  std::vector<StoredStage> out;
  sqlite3_stmt* s = impl_->database.prepare(
      "SELECT id, key, label, form, fillings, state, epoch, gang, attempts, error_kind, error, "
      "result FROM stages JOIN states USING (id) ORDER BY id");
  while (impl_->database.step(s)) {
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
  std::vector<std::pair<std::string, StageState>> out;
  sqlite3_stmt* s =
      impl_->database.prepare("SELECT key, state FROM stages JOIN states USING (id) ORDER BY id");
  while (impl_->database.step(s)) {
    out.emplace_back(text_of(s, 0), state_from(sqlite3_column_int64(s, 1)));
  }
  return out;
}

std::vector<StoredTrial> Store::trials() {
  std::vector<StoredTrial> out;
  sqlite3_stmt* s =
      impl_->database.prepare("SELECT id, text, stopped FROM trials ORDER BY position");
  while (impl_->database.step(s)) {
    out.push_back({text_of(s, 0), text_of(s, 1), sqlite3_column_int64(s, 2) != 0});
  }
  return out;
}

std::vector<StoredGang> Store::gangs() {
  std::vector<StoredGang> out;
  sqlite3_stmt* s = impl_->database.prepare("SELECT id, pid, host FROM gangs ORDER BY id");
  while (impl_->database.step(s)) {
    out.push_back({sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1), text_of(s, 2)});
  }
  return out;
}

std::vector<StoredDecision> Store::decisions() {
  std::vector<StoredDecision> out;
  sqlite3_stmt* s = impl_->database.prepare("SELECT point, why FROM decisions ORDER BY position");
  while (impl_->database.step(s)) {
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
  std::map<std::string, std::map<std::string, std::string>> out;
  sqlite3_stmt* s = impl_->database.prepare("SELECT tuning_group, path, value FROM tuned");
  while (impl_->database.step(s)) {
    out[text_of(s, 0)][text_of(s, 1)] = text_of(s, 2);
  }
  return out;
}

}  // namespace finescale
