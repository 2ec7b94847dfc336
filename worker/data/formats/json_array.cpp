// SPDX-License-Identifier: Apache-2.0
// A JSON document that is a list of records. Elements are handed on as they end and forgotten.
#include "worker/data/formats/formats.h"

#include "core/json_depth.h"

namespace finescale {

namespace {

using OrderedJson = nlohmann::ordered_json;

struct Enough {};

}  // namespace

void read_json_array(std::istream& in, RecordSink& sink) {
  while (in.peek() == ' ' || in.peek() == '\t' || in.peek() == '\r' || in.peek() == '\n') {
    in.get();
  }
  if (in.peek() == '{') {  // lines under another name
    return read_jsonl(in, sink);
  }
  if (in.peek() != '[') {
    sink.fatal("is no list of records", 1, "a .json file must be [{...}, ...] or one {...} a line");
  }
  std::int64_t element = 0;
  // An element of the list ends at depth 1: it is taken and dropped from the document.
  const OrderedJson::parser_callback_t take = [&](int depth, OrderedJson::parse_event_t event,
                                                  OrderedJson& parsed) {
    const bool ends = event == OrderedJson::parse_event_t::object_end ||
                      event == OrderedJson::parse_event_t::array_end ||
                      event == OrderedJson::parse_event_t::value;
    if (depth > kMaxJsonDepth) {
      sink.fatal(kJsonTooDeep, element + 1, "");
    }
    if (depth != 1 || !ends) {
      return true;
    }
    if (!sink.record(std::move(parsed), ++element)) {
      throw Enough();
    }
    return false;
  };
  try {
    const OrderedJson emptied = OrderedJson::parse(in, take);
  } catch (const Enough&) {
    return;
  } catch (const OrderedJson::exception& error) {
    std::string why = error.what();
    if (const std::size_t at = why.find("parse error"); at != std::string::npos) {
      why = why.substr(at);
    }
    sink.fatal("not valid JSON: " + why, element + 1, "");
  }
}

}  // namespace finescale
