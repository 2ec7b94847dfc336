// SPDX-License-Identifier: Apache-2.0
#include "coordinator/commit_group.h"

#include <algorithm>

#include "core/error.h"

namespace finescale {

namespace {

constexpr const char* kLastGang = "last_gang";

}  // namespace

bool CommitGroup::flush(Store& store, std::string& why) {
  if (is_empty()) {
    return true;
  }
  try {
    store.begin();
    for (const auto& [row, stage] : stages_) {
      store.update_stage(*stage);
    }
    for (const auto& [id, process] : gangs_) {
      if (process == kNoProcess) {
        store.remove_gang(id);
      } else {
        store.put_gang({id, process, ""});
        store.set_meta(kLastGang, std::to_string(std::max(id, last_gang(store))));
      }
    }
    store.commit();
  } catch (const Error& error) {
    store.rollback();
    if (error.kind() != ErrorKind::kResource && error.kind() != ErrorKind::kIo) {
      throw;
    }
    why = error.what();
    return false;
  }
  *this = {};
  return true;
}

std::int64_t last_gang(Store& store) {
  return std::stoll(store.meta(kLastGang).value_or("0"));
}

}  // namespace finescale
