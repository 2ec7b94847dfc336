// SPDX-License-Identifier: Apache-2.0
#include "worker/data/formats/formats.h"

#include "core/json_depth.h"

namespace finescale {

namespace {

using OrderedJson = nlohmann::ordered_json;

// Cuts the carriage return of a file from elsewhere off.
bool is_blank(std::string& line) {
  if (!line.empty() && line.back() == '\r') {
    line.pop_back();
  }
  return line.find_first_not_of(" \t") == std::string::npos;
}

}  // namespace

void read_jsonl(std::istream& in, RecordSink& sink) {
  constexpr std::string_view kMark = "\xEF\xBB\xBF";  // some editors begin a file with it
  std::string line;
  for (std::int64_t number = 1; std::getline(in, line); ++number) {
    if (number == 1 && line.starts_with(kMark)) {
      line.erase(0, kMark.size());
    }
    if (is_blank(line)) {
      continue;
    }
    OrderedJson record;
    std::string why;
    try {
      if (is_json_too_deep(line)) {
        why = kJsonTooDeep;
      } else {
        record = OrderedJson::parse(line);
      }
    } catch (const OrderedJson::parse_error& error) {
      why = error.what();
      if (const std::size_t at = why.find("parse error"); at != std::string::npos) {
        why = why.substr(at);
      }
    } catch (const OrderedJson::out_of_range& error) {  // a number beyond any type
      why = error.what();
    }
    const bool more = why.empty() ? sink.record(std::move(record), number)
                                  : sink.bad("not valid JSON: " + why, number);
    if (!more) {
      return;
    }
  }
}

}  // namespace finescale
