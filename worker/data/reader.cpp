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

// Records of files up to the limit; a kind says what one is.
class FileSink : public RecordSink {
 public:
  FileSink(const config::DatasetRef& ref, config::OnBadExample on_bad)
      : left_(ref.has_limit() ? ref.limit() : INT64_MAX), on_bad_(on_bad) {}

  // `unit`: what numbers count in this file.
  void begin_file(const std::string& path, const char* unit) {
    path_ = path;
    unit_ = unit;
  }
  [[nodiscard]] bool wants_more() const { return left_ > 0; }
  [[nodiscard]] std::int64_t skipped() const { return skipped_; }
  [[nodiscard]] const std::string& first_bad() const { return first_bad_; }

  bool record(nlohmann::ordered_json&& record, std::int64_t line) override {
    if (left_ <= 0) {
      return false;
    }
    try {
      keep(std::move(record), where(line));
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
    if (++skipped_ == 1) {
      first_bad_ = where(line) + ": " + why;
    }
    return true;
  }

  [[noreturn]] void fatal(const std::string& why, std::int64_t line,
                          const std::string& hint) override {
    throw Error(ErrorKind::kData, why, where(line), hint);
  }

 private:
  // Throws BadExample.
  virtual void keep(nlohmann::ordered_json&& record, const std::string& where) = 0;

  [[nodiscard]] std::string where(std::int64_t line) const {
    return path_ + ":" + unit_ + std::to_string(line);
  }
  std::string path_;
  const char* unit_ = "";
  std::int64_t left_;
  config::OnBadExample on_bad_;
  std::int64_t skipped_ = 0;
  std::string first_bad_;
};

class ExampleSink final : public FileSink {
 public:
  ExampleSink(const config::DatasetRef& ref, config::OnBadExample on_bad, const Take& take,
              FormCounts& forms)
      : FileSink(ref, on_bad), take_(take), forms_(forms) {}

 private:
  void keep(nlohmann::ordered_json&& record, const std::string& where) override {
    RawExample example = raw_example(std::move(record));
    const auto form = static_cast<std::size_t>(example.form);
    take_(std::move(example), where);
    ++forms_[form];
  }
  const Take& take_;
  FormCounts& forms_;
};

class RowSink final : public FileSink {
 public:
  RowSink(const config::DatasetRef& ref, config::OnBadExample on_bad, std::vector<Row>& rows)
      : FileSink(ref, on_bad), rows_(rows) {}

 private:
  void keep(nlohmann::ordered_json&& record, const std::string& /*where*/) override {
    if (!record.is_object()) {
      throw BadExample{std::string("is ") + record.type_name() + ", must be an object"};
    }
    rows_.push_back(std::move(record));
  }
  std::vector<Row>& rows_;
};

// Name of the format.
const char* read_file(const std::string& path, const config::DatasetRef& ref, FileSink& sink) {
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

// Calls for each problem up to the limit.
void draw_task(const config::DatasetRef& ref,
               const std::function<void(RawExample&&, std::int64_t index)>& take) {
  const std::int64_t limit = ref.has_limit() ? ref.limit() : INT64_MAX;
  const std::string where = ref.label().empty() ? "" : ref.label() + ".task.examples";
  draw_examples(ref.task(), where, [&](RawExample&& example, std::int64_t index) {
    take(std::move(example), index);
    return index < limit;
  });
}

// Names of their formats.
std::string read_files(const config::DatasetRef& ref, FileSink& sink) {
  std::vector<std::string> formats;
  std::string text;
  for (const config::FileRef& file : ref.files()) {
    if (!sink.wants_more()) {
      break;
    }
    const std::string format = read_file(file.path(), ref, sink);
    if (std::find(formats.begin(), formats.end(), format) == formats.end()) {
      formats.push_back(format);
      text += (formats.size() > 1 ? ", " : "") + format;
    }
  }
  return text;
}

bool is_task(const config::DatasetRef& ref) {
  return ref.has_task() && ref.files_size() == 0;
}

// Rows that are no example are so at a place in the sweep file.
ReadSummary read_recipe(const config::DatasetRef& ref, config::OnBadExample on_bad,
                        const Take& take) {
  RecipeRows made = make_rows(ref, on_bad);
  ReadSummary summary;
  summary.formats = made.story;
  config::DatasetRef unlimited;
  ExampleSink sink(unlimited, on_bad, take, summary.forms);
  sink.begin_file(ref.label(), "example ");
  std::int64_t number = 0;
  for (Row& row : made.rows) {
    (void)sink.record(std::move(row), ++number);
  }
  summary.skipped = made.skipped + sink.skipped();
  summary.first_bad = made.skipped > 0 ? made.first_bad : sink.first_bad();
  return summary;
}

}  // namespace

ReadSummary read_examples(const config::DatasetRef& ref, config::OnBadExample on_bad,
                          const Take& take) {
  if (is_recipe(ref)) {
    return read_recipe(ref, on_bad, take);
  }
  ReadSummary summary;
  if (is_task(ref)) {
    summary.formats = "task " + task_name(ref.task());
    draw_task(ref, [&](RawExample&& example, std::int64_t index) {
      ++summary.forms[static_cast<std::size_t>(example.form)];
      take(std::move(example), summary.formats + ":" + std::to_string(index));
    });
    return summary;
  }
  ExampleSink sink(ref, on_bad, take, summary.forms);
  summary.formats = read_files(ref, sink);
  summary.skipped = sink.skipped();
  summary.first_bad = sink.first_bad();
  return summary;
}

RecipeRows read_rows(const config::DatasetRef& ref, config::OnBadExample on_bad) {
  RecipeRows out;
  if (is_task(ref)) {
    out.story = "task " + task_name(ref.task());
    draw_task(ref, [&](RawExample&& example, std::int64_t /*index*/) {
      out.rows.push_back(row_of(example));
    });
  } else {
    RowSink sink(ref, on_bad, out.rows);
    out.story = read_files(ref, sink);
    out.skipped = sink.skipped();
    out.first_bad = sink.first_bad();
  }
  out.story += " " + std::to_string(out.rows.size());
  return out;
}

}  // namespace finescale
