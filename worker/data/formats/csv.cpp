// SPDX-License-Identifier: Apache-2.0
// RFC 4180: fields by commas, quotes around fields that hold commas, quotes or line ends, a quote
// inside written twice. The first record names the columns.
#include <algorithm>
#include <optional>

#include "worker/data/formats/formats.h"

namespace finescale {

namespace {

struct CsvRecord {
  std::vector<std::string> fields;
  std::int64_t line = 0;  // where it begins
  std::string fault;      // what makes it unreadable; empty: nothing
};

class CsvReader {
 public:
  explicit CsvReader(std::istream& in) : in_(*in.rdbuf()) {
    if (in_.sgetc() == 0xEF) {  // a byte order mark of UTF-8
      in_.snextc();
      in_.snextc();
      in_.snextc();
    }
  }

  // Nothing at the end. Blank lines are no records.
  std::optional<CsvRecord> next() {
    while (in_.sgetc() == '\n' || in_.sgetc() == '\r') {
      take();
    }
    if (in_.sgetc() == kEnd) {
      return std::nullopt;
    }
    CsvRecord record;
    record.line = line_;
    for (bool more = true; more;) {
      record.fields.emplace_back();
      more = in_.sgetc() == '"' ? read_quoted(record) : read_plain(record);
    }
    return record;
  }

 private:
  static constexpr int kEnd = std::char_traits<char>::eof();

  int take() {
    const int c = in_.sbumpc();
    line_ += c == '\n' ? 1 : 0;
    return c;
  }
  // Behind a field: a comma (true), or the end of the record.
  bool take_separator() {
    const int c = take();
    if (c == '\r' && in_.sgetc() == '\n') {
      take();
    }
    return c == ',';
  }
  static bool ends_field(int c) { return c == ',' || c == '\n' || c == '\r' || c == kEnd; }

  bool read_plain(CsvRecord& record) {
    while (!ends_field(in_.sgetc())) {
      const int c = take();
      if (c == '"' && record.fault.empty()) {
        record.fault = "a quote inside a field that does not begin with one";
      }
      record.fields.back() += static_cast<char>(c);
    }
    return take_separator();
  }

  bool read_quoted(CsvRecord& record) {
    take();
    while (true) {
      const int c = take();
      if (c == kEnd) {
        record.fault = "a quoted field has no closing quote";
        return false;
      }
      if (c != '"') {
        record.fields.back() += static_cast<char>(c);
      } else if (in_.sgetc() == '"') {
        record.fields.back() += static_cast<char>(take());
      } else {
        break;
      }
    }
    if (!ends_field(in_.sgetc())) {
      record.fault = "text behind a closing quote";
      return read_plain(record);
    }
    return take_separator();
  }

  std::streambuf& in_;
  std::int64_t line_ = 1;
};

// Columns of a record are looked up one by one.
constexpr std::size_t kMaxColumns = 1000;

// Throws by the sink when the names do not do.
void check_names(const CsvRecord& header, RecordSink& sink) {
  if (header.fields.size() > kMaxColumns) {
    sink.fatal("there are " + std::to_string(header.fields.size()) + " columns, at most " +
                   std::to_string(kMaxColumns) + " are read",
               header.line, "");
  }
  const auto has = [&header](const char* name) {
    return std::find(header.fields.begin(), header.fields.end(), name) != header.fields.end();
  };
  std::string names;
  for (std::size_t i = 0; i < header.fields.size() && i < 20; ++i) {
    const std::string& name = header.fields[i];
    names += (i > 0 ? ", " : "") + name.substr(0, 40);
    if (std::count(header.fields.begin(), header.fields.end(), name) > 1) {
      sink.fatal("two columns are called " + name.substr(0, 40), header.line, "");
    }
  }
  if (!header.fault.empty()) {
    sink.fatal(header.fault, header.line, "");
  }
  if (!has("text") && !(has("prompt") && has("response")) &&
      !(has("prompt") && has("chosen") && has("rejected"))) {
    sink.fatal("the columns are " + names, header.line,
               "the first line must name columns prompt and response, text, or prompt, chosen and "
               "rejected; others are ignored");
  }
}

}  // namespace

void read_csv(std::istream& in, RecordSink& sink) {
  CsvReader reader(in);
  const std::optional<CsvRecord> header = reader.next();
  if (!header) {
    return;
  }
  check_names(*header, sink);
  while (std::optional<CsvRecord> record = reader.next()) {
    const std::size_t count = record->fields.size();
    if (record->fault.empty() && count != header->fields.size()) {
      record->fault = "has " + std::to_string(count) + " fields, the header " +
                      std::to_string(header->fields.size());
    }
    nlohmann::ordered_json object;
    for (std::size_t i = 0; record->fault.empty() && i < count; ++i) {
      object[header->fields[i]] = std::move(record->fields[i]);
    }
    const bool more = record->fault.empty() ? sink.record(std::move(object), record->line)
                                            : sink.bad(record->fault, record->line);
    if (!more) {
      return;
    }
  }
}

}  // namespace finescale
