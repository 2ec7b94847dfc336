// SPDX-License-Identifier: Apache-2.0
#include "coordinator/worker_tool.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <system_error>

#include <nlohmann/json.hpp>

#include "configs/canonical.h"
#include "configs/parse.h"
#include "coordinator/launchers/launcher.h"
#include "coordinator/process.h"
#include "core/error.h"
#include "core/files.h"

namespace finescale {

namespace {

// As a person in this directory would write it, where that is shorter.
std::string shown_path(const std::string& path) {
  std::error_code code;
  const std::string relative = std::filesystem::proximate(path, code).string();
  return code || relative.size() > path.size() ? path : relative;
}

// `name`: for people; `field`: where the sweep file says it. A task's part that is not given is
// `part`.
template <class Set>
void add_files(const Set& set, const std::string& name, const std::string& field,
               config::TaskPart part, nlohmann::json& files) {
  if (set.has_task()) {
    config::Task task = set.task();
    task.set_part(task.has_part() ? task.part() : part);
    files.push_back({{"path", name}, {"task", canonical_text(task)}, {"label", field}});
    if (set.has_limit()) {
      files.back()["limit"] = set.limit();
    }
  }
  for (const std::string& path : set.path()) {
    nlohmann::json file = {{"path", path}};
    if (set.has_limit()) {
      file["limit"] = set.limit();
    }
    file["format"] = config::DataFormat_Name(set.format());
    file["text_unit"] = config::TextUnit_Name(set.text_unit());
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

Error at_written_place(const Error& error, const std::string& sweep_file) {
  const std::string field = error.where().substr(0, error.where().find(':'));
  const bool is_field = field.starts_with("data.") || field.starts_with("base.");
  if (!is_field || path_exists(field)) {  // data.jsonl is a file
    return error;
  }
  return {error.kind(), error.where() + ": " + error.message(), written_at(sweep_file, field),
          error.hint()};
}

std::string written_field(const config::Sweep& sweep, const std::string& stage,
                          const std::string& field) {
  const std::string axis = stage + field.substr(field.find('.'));
  const bool is_varied = std::any_of(sweep.axes().begin(), sweep.axes().end(),
                                     [&](const config::Axis& a) { return a.path() == axis; });
  if (is_varied) {
    return "axes." + axis;
  }
  for (int i = 0; i < sweep.trial().stages_size(); ++i) {
    if (sweep.trial().stages(i).name() == stage) {
      return "trial.stages[" + std::to_string(i) + "]." + field;
    }
  }
  return "trial";
}

namespace {

nlohmann::json data_request(const config::Sweep& sweep, std::size_t* num_pool) {
  nlohmann::json files = nlohmann::json::array();
  if (sweep.data().train().apply().empty()) {  // what is made of files is checked as it is made
    add_files(sweep.data().train(), "data.train", "data.train", config::TASK_PART_TRAIN, files);
  }
  *num_pool = files.size();
  for (int i = 0; i < sweep.data().eval_size(); ++i) {
    add_files(sweep.data().eval(i), "data.eval " + sweep.data().eval(i).name(),
              "data.eval[" + std::to_string(i) + "]", config::TASK_PART_HELD_OUT, files);
  }
  if (sweep.base().has_pretrain() && sweep.base().pretrain().data().apply().empty()) {
    add_files(sweep.base().pretrain().data(), "base.pretrain.data", "base.pretrain.data",
              config::TASK_PART_TRAIN, files);
  }
  return files;
}

nlohmann::json asked_about_data(const nlohmann::json& request, const std::string& sweep_file) {
  try {
    return nlohmann::json::parse(ask_worker_tool("data", request.dump()));
  } catch (const Error& error) {
    throw at_written_place(error, sweep_file);
  }
}

}  // namespace

CheckedData check_data(const config::Sweep& sweep, const std::string& sweep_file) {
  std::size_t num_pool = 0;
  const nlohmann::json files = data_request(sweep, &num_pool);
  const bool skip = sweep.data().on_bad_example() == config::ON_BAD_EXAMPLE_SKIP;
  const nlohmann::json answer =
      asked_about_data({{"files", files}, {"on_bad_example", skip ? "skip" : "error"}}, sweep_file);
  CheckedData checked;
  std::set<std::string> seen;
  for (std::size_t i = 0; i < answer.at("files").size(); ++i) {
    const nlohmann::json& file = answer.at("files")[i];
    const std::string path = file.at("path").get<std::string>();
    if (i < num_pool) {
      checked.pool_examples += file.at("examples").get<std::int64_t>();
    }
    if (seen.insert(path).second) {
      checked.found.push_back(shown_path(path) + ": " + file.at("what").get<std::string>());
    }
  }
  if (sweep.data().train().has_limit()) {
    checked.pool_examples = std::min(checked.pool_examples, sweep.data().train().limit());
  }
  return checked;
}

void check_budgets(const Plan& plan, const config::Sweep& sweep, const CheckedData& data,
                   const std::string& sweep_file) {
  for (const std::string& key : plan.graph.keys()) {
    const config::StageSpec stage = plan.graph.stages.at(key);
    const config::TrainSpec& train = stage.train();
    const bool of_pool = stage.has_train() && train.data().files_size() > 0 &&
                         sweep.data().train().path_size() > 0 &&
                         train.data().files(0).path() == sweep.data().train().path(0);
    if (of_pool && train.train().data_budget() > data.pool_examples) {
      throw Error(ErrorKind::kConfig,
                  "train.data_budget is " + std::to_string(train.train().data_budget()) +
                      ", but data.train has " + std::to_string(data.pool_examples) + " examples",
                  written_at(sweep_file, written_field(sweep, stage.label(), "train.data_budget")));
    }
  }
}

}  // namespace finescale
