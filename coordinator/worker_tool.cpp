// SPDX-License-Identifier: Apache-2.0
#include "coordinator/worker_tool.h"

#include <map>

#include <nlohmann/json.hpp>

#include "coordinator/launchers/launcher.h"
#include "coordinator/process.h"
#include "core/error.h"

namespace finescale {

namespace {

template <class Set>
void add_files(const Set& set, nlohmann::json& files) {
  for (const std::string& path : set.path()) {
    nlohmann::json file = {{"path", path}};
    if (set.has_limit()) {
      file["limit"] = set.limit();
    }
    files.push_back(std::move(file));
  }
}

}  // namespace

std::string ask_worker_tool(const std::string& name, const std::string& request) {
  const ProcessOutput output = run_process({worker_program(), "tool", name}, request);
  if (output.code == 0) {
    return output.out;
  }
  const nlohmann::json answer = nlohmann::json::parse(output.out, nullptr, false);
  if (answer.is_object() && answer.contains("error")) {
    const nlohmann::json& error = answer["error"];
    throw Error(error_kind_from_name(error.value("kind", "internal")), error.value("message", ""),
                error.value("where", ""), error.value("hint", ""));
  }
  throw Error(
      ErrorKind::kInternal,
      worker_program() + " tool " + name + " ended with code " + std::to_string(output.code), {},
      output.code == 127 ? "is the worker beside the coordinator?" : "");
}

void check_data(const config::Sweep& sweep) {
  nlohmann::json files = nlohmann::json::array();
  add_files(sweep.data().train(), files);
  for (const config::EvalSet& set : sweep.data().eval()) {
    add_files(set, files);
  }
  if (sweep.base().has_pretrain()) {
    add_files(sweep.base().pretrain().data(), files);
  }
  const bool skip = sweep.data().on_bad_example() == config::ON_BAD_EXAMPLE_SKIP;
  (void)ask_worker_tool(
      "data", nlohmann::json{{"files", files}, {"on_bad_example", skip ? "skip" : "error"}}.dump());
}

}  // namespace finescale
