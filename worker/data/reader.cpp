// SPDX-License-Identifier: Apache-2.0
#include "worker/data/reader.h"

#include <algorithm>
#include <fstream>
#include <utility>
#include <vector>

#include "configs/data_format.h"
#include "core/error.h"
#include "worker/data/formats/formats.h"
#include "worker/data/tasks/task.h"
#include "worker/data/tasks/task_examples.h"

namespace finescale {

namespace {

using Take = std::function<void(RawExample&&, const std::string&)>;

class ExampleSink : public RecordSink {
 public:
  ExampleSink(const config::DatasetRef& ref, config::OnBadExample on_bad, const Take& take,
              ReadSummary& summary)
      : left_(ref.has_limit() ? ref.limit() : INT64_MAX),
        on_bad_(on_bad),
        take_(take),
        summary_(summary) {}

  // `unit`: what numbers count in this file.
  void begin_file(const std::string& path, const char* unit) {
    path_ = path;
    unit_ = unit;
  }
  [[nodiscard]] bool wants_more() const { return left_ > 0; }

  bool record(nlohmann::ordered_json&& record, std::int64_t line) override {
    if (left_ <= 0) {
      return false;
    }
    try {
      RawExample example = raw_example(std::move(record));
      const auto form = static_cast<std::size_t>(example.form);
      take_(std::move(example), where(line));
      ++summary_.forms[form];
      --left_;
    } catch (const BadExample& fault) {
      return bad(fault.why, line);
    }
    return true;
  }

  bool bad(const std::string& why, std::int64_t line) override {
    if (left_ <= 0) {
      return false;
    }
    if (on_bad_ != config::ON_BAD_EXAMPLE_SKIP) {
      throw Error(ErrorKind::kData, why, where(line),
                  std::string("each must be ") + kForms +
                      "; data.on_bad_example: skip counts and skips what is not");
    }
    if (++summary_.skipped == 1) {
      summary_.first_bad = where(line) + ": " + why;
    }
    return true;
  }

  [[noreturn]] void fatal(const std::string& why, std::int64_t line,
                          const std::string& hint) override {
    throw Error(ErrorKind::kData, why, where(line), hint);
  }

 private:
  [[nodiscard]] std::string where(std::int64_t line) const {
    return path_ + ":" + unit_ + std::to_string(line);
  }
  std::string path_;
  const char* unit_ = "";
  std::int64_t left_;
  config::OnBadExample on_bad_;
  const Take& take_;
  ReadSummary& summary_;
};

// Name of the format.
const char* read_file(const std::string& path, const config::DatasetRef& ref, ExampleSink& sink) {
  const config::DataFormat format = data_format(path, ref.format());
  sink.begin_file(path, "");
  if (format == config::DATA_FORMAT_PARQUET) {
    sink.begin_file(path, "row ");
    read_parquet(path, sink);
    return "Parquet";
  }
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    throw Error(ErrorKind::kData, "cannot open the data file", path,
                "check data.train.path and data.eval");
  }
  switch (format) {
    case config::DATA_FORMAT_JSON:
      sink.begin_file(path, "element ");
      read_json_array(in, sink);
      return "JSON";
    case config::DATA_FORMAT_CSV:
      read_csv(in, sink);
      return "CSV";
    case config::DATA_FORMAT_TEXT:
      read_plain_text(in, ref.text_unit() == config::TEXT_UNIT_FILE, sink);
      return ref.text_unit() == config::TEXT_UNIT_FILE ? "plain text, each file one example"
                                                       : "paragraphs of plain text";
    case config::DATA_FORMAT_PARQUET:
    case config::DATA_FORMAT_AUTO:
    case config::DATA_FORMAT_JSONL:
      break;
  }
  read_jsonl(in, sink);
  return "JSONL";
}

ReadSummary draw_task(const config::DatasetRef& ref, const Take& take) {
  ReadSummary summary;
  const std::string name = "task " + task_name(ref.task());
  summary.formats = name;
  const std::int64_t limit = ref.has_limit() ? ref.limit() : INT64_MAX;
  draw_examples(ref.task(), [&](RawExample&& example, std::int64_t index) {
    ++summary.forms[static_cast<std::size_t>(example.form)];
    take(std::move(example), name + ":" + std::to_string(index));
    return index < limit;
  });
  return summary;
}

}  // namespace

ReadSummary read_examples(const config::DatasetRef& ref, config::OnBadExample on_bad,
                          const Take& take) {
  if (ref.has_task() && ref.files_size() == 0) {
    return draw_task(ref, take);
  }
  ReadSummary summary;
  ExampleSink sink(ref, on_bad, take, summary);
  std::vector<std::string> formats;
  for (const config::FileRef& file : ref.files()) {
    if (!sink.wants_more()) {
      break;
    }
    const std::string format = read_file(file.path(), ref, sink);
    if (std::find(formats.begin(), formats.end(), format) == formats.end()) {
      formats.push_back(format);
      summary.formats += (formats.size() > 1 ? ", " : "") + format;
    }
  }
  return summary;
}

}  // namespace finescale
