// SPDX-License-Identifier: Apache-2.0
#include "worker/data/formats/formats.h"

namespace finescale {

namespace {

bool is_blank_text(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

}  // namespace

void read_plain_text(std::istream& in, bool whole_file, RecordSink& sink) {
  std::string line;
  std::string text;
  std::int64_t begun = 1;
  std::int64_t number = 0;
  // A text without the line end behind it.
  const auto hand_on = [&] {
    if (text.ends_with('\n')) {
      text.pop_back();
    }
    nlohmann::ordered_json record;
    record["text"] = std::move(text);
    text.clear();
    return sink.record(std::move(record), begun);
  };
  while (std::getline(in, line)) {
    ++number;
    if (!whole_file && is_blank_text(line)) {
      if (!text.empty() && !hand_on()) {
        return;
      }
      continue;
    }
    if (text.empty()) {
      begun = number;
    }
    text += line;
    text += '\n';
  }
  if (!is_blank_text(text)) {
    (void)hand_on();
  }
}

}  // namespace finescale
