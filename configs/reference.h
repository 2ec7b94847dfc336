// SPDX-License-Identifier: Apache-2.0
// The reference generated from the schema: for `finescale schema [FIELD]`, docs/options.md, the
// manual page and the shells' completions.
#pragma once

#include <string>
#include <vector>

namespace finescale {

struct ReferenceField {
  std::string name, type, standard, range, unit, doc;  // standard: its default; may be empty
};
struct ReferenceType {
  std::string name, about, choice;
  std::vector<ReferenceField> fields;
};
// Sweep and Run, then what they hold, breadth first, each once.
[[nodiscard]] std::vector<ReferenceType> reference_types();
// What --set and `finescale schema` take, but for fields of axes and of lists: train.learning_rate,
// resources.gangs. Sorted.
[[nodiscard]] std::vector<std::string> field_paths();

[[nodiscard]] std::string reference_markdown();  // docs/options.md
[[nodiscard]] std::string reference_text(
    const std::string& field);  // "" = overview; throws kConfig with the nearest name

}  // namespace finescale
