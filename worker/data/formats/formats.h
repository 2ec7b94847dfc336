// SPDX-License-Identifier: Apache-2.0
// Files of records, one function for each format. All stream: only the record at hand is in memory.
#pragma once

#include <cstdint>
#include <istream>
#include <string>

#include <nlohmann/json.hpp>

namespace finescale {

// Takes records as objects {"column": value}.
class RecordSink {
 public:
  RecordSink() = default;
  RecordSink(const RecordSink&) = delete;
  RecordSink& operator=(const RecordSink&) = delete;
  virtual ~RecordSink() = default;
  // False: enough. `line` is where the record begins, from 1.
  virtual bool record(nlohmann::ordered_json&& record, std::int64_t line) = 0;
  // What is no record; what follows can still be read. False: enough.
  virtual bool bad(const std::string& why, std::int64_t line) = 0;
  // What makes the rest of the file unreadable.
  [[noreturn]] virtual void fatal(const std::string& why, std::int64_t line,
                                  const std::string& hint) = 0;
};

// Any of them may throw what the sink throws.
void read_jsonl(std::istream& in, RecordSink& sink);       // blank lines are no records
void read_json_array(std::istream& in, RecordSink& sink);  // [{...}, ...]; lines are elements
void read_csv(std::istream& in, RecordSink& sink);         // RFC 4180, the first record is names
// {"text"}: paragraphs are separated by blank lines, or the whole file is one.
void read_plain_text(std::istream& in, bool whole_file, RecordSink& sink);
// Throws kResource with a way to convert the file where this build cannot read Parquet.
void read_parquet(const std::string& path, RecordSink& sink);

}  // namespace finescale
