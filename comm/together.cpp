// SPDX-License-Identifier: Apache-2.0
#include "comm/together.h"

#include <filesystem>
#include <optional>
#include <string>

#include "core/error.h"

namespace finescale {

void run_together(Group& group, const std::function<void()>& body) {
  std::optional<Error> mine;
  try {
    body();
  } catch (const Error& error) {
    mine = error;
  } catch (const std::filesystem::filesystem_error& error) {  // as what core/files.h throws
    mine = Error(ErrorKind::kIo, error.code().message(), error.path1().string());
  } catch (const std::exception& error) {
    mine = Error(ErrorKind::kInternal, error.what());
  }
  // The lowest failing rank, by a maximum: -1 when none failed.
  const double key = group.max(mine ? static_cast<double>(group.size() - 1 - group.rank()) : -1.0);
  if (key < 0) {
    return;
  }
  const int source = group.size() - 1 - static_cast<int>(key);
  std::string kind = mine ? std::string(error_kind_name(mine->kind())) : std::string();
  std::string message = mine ? mine->message() : std::string();
  std::string where = mine ? mine->where() : std::string();
  std::string hint = mine ? mine->hint() : std::string();
  for (std::string* text : {&kind, &message, &where, &hint}) {
    group.broadcast(*text, source);
  }
  throw Error(error_kind_from_name(kind), message, where, hint);
}

}  // namespace finescale
