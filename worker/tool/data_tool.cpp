// SPDX-License-Identifier: Apache-2.0
#include "worker/tool/data_tool.h"

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "worker/data/jsonl.h"

namespace finescale {

namespace {

nlohmann::json check(const nlohmann::json& file, config::OnBadExample on_bad) {
  config::DatasetRef ref;
  ref.add_files()->set_path(file.at("path"));
  if (file.contains("limit")) {
    ref.set_limit(file.at("limit"));
  }
  std::int64_t examples = 0;
  const std::int64_t skipped =
      read_jsonl(ref, on_bad, [&](RawExample&&, const std::string&) { ++examples; });
  if (examples == 0) {
    throw Error(ErrorKind::kData, "there is no example in it", file.at("path"),
                "one JSON object a line: {\"prompt\", \"response\"}, {\"text\"} or {\"messages\"}");
  }
  return {{"path", file.at("path")}, {"examples", examples}, {"skipped", skipped}};
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
    return nlohmann::json{{"files", files}}.dump();
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorKind::kProtocol, std::string("tool data: ") + error.what());
  }
}

}  // namespace finescale
