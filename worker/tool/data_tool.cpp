// SPDX-License-Identifier: Apache-2.0
#include "worker/tool/data_tool.h"

#include <nlohmann/json.hpp>

#include "configs/canonical.h"
#include "core/error.h"
#include "worker/data/reader.h"

namespace finescale {

namespace {

template <class Enum>
Enum enum_of(const nlohmann::json& file, const char* name, bool (*parse)(const std::string&, Enum*),
             Enum fallback) {
  Enum value = fallback;
  if (file.contains(name) && !parse(file.at(name).get<std::string>(), &value)) {
    throw Error(ErrorKind::kProtocol, std::string("tool data: no such ") + name);
  }
  return value;
}

void set_formats(const nlohmann::json& file, config::DatasetRef& ref) {
  ref.set_format(enum_of<config::DataFormat>(
      file, "format",
      [](const std::string& name, auto* out) { return DataFormat_Parse(name, out); },
      config::DATA_FORMAT_AUTO));
  ref.set_text_unit(enum_of<config::TextUnit>(
      file, "text_unit",
      [](const std::string& name, auto* out) { return TextUnit_Parse(name, out); },
      config::TEXT_UNIT_PARAGRAPH));
}

nlohmann::json check(const nlohmann::json& file, config::OnBadExample on_bad) {
  config::DatasetRef ref;
  if (file.contains("ref")) {
    parse_canonical(file.at("ref").get<std::string>(), ref);
  } else if (file.contains("task")) {
    parse_canonical(file.at("task").get<std::string>(), *ref.mutable_task());
    ref.set_label(file.value("label", ""));
  } else {
    ref.add_files()->set_path(file.at("path"));
  }
  if (file.contains("limit")) {
    ref.set_limit(file.at("limit"));
  }
  if (!file.contains("ref")) {
    set_formats(file, ref);
  }
  std::int64_t examples = 0;
  const ReadSummary read =
      read_examples(ref, on_bad, [&](RawExample&&, const std::string&) { ++examples; });
  if (examples == 0) {
    throw Error(ErrorKind::kData, "there is no example in it", file.at("path"),
                std::string("each record must be ") + kForms);
  }
  std::string what = describe(read.forms) + " from " + read.formats;
  if (read.skipped > 0) {
    what += ", " + std::to_string(read.skipped) + " skipped (the first " + read.first_bad + ")";
  }
  return {
      {"path", file.at("path")}, {"examples", examples}, {"skipped", read.skipped}, {"what", what}};
}

}  // namespace

std::string data_tool(const std::string& request) {
  try {
    const nlohmann::json asked = nlohmann::json::parse(request);
    const auto on_bad = asked.value("on_bad_example", "error") == "skip"
                            ? config::ON_BAD_EXAMPLE_SKIP
                            : config::ON_BAD_EXAMPLE_ERROR;
    nlohmann::json files = nlohmann::json::array();
    for (const nlohmann::json& file : asked.at("files")) {
      files.push_back(check(file, on_bad));
    }
    using Handler = nlohmann::json::error_handler_t;  // names of columns need not be UTF-8
    return nlohmann::json{{"files", files}}.dump(-1, ' ', false, Handler::replace);
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorKind::kProtocol, std::string("tool data: ") + error.what());
  }
}

}  // namespace finescale
