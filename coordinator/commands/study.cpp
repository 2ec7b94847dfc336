// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <filesystem>
#include <iostream>

#include "coordinator/commands/command.h"
#include "coordinator/commands/run_sweep.h"
#include "coordinator/contrasts.h"
#include "core/error.h"

namespace finescale {

namespace {

std::vector<std::string> study_files() {
  std::vector<std::string> files;
  std::error_code code;
  for (const auto& entry :
       std::filesystem::directory_iterator(share_directory() + "/studies", code)) {
    if (entry.path().extension() == ".yaml") {
      files.push_back(entry.path().string());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

// configs/studies/51-allora.yaml for 51; a path is one of its own.
std::string find_study(const std::string& given) {
  if (given.ends_with(".yaml")) {
    return given;
  }
  std::string names;
  for (const std::string& file : study_files()) {
    const std::string name = std::filesystem::path(file).stem().string();
    if (name == given || name.starts_with(given + "-") || name.starts_with("0" + given + "-")) {
      return file;
    }
    names += (names.empty() ? "" : ", ") + name;
  }
  throw Error(ErrorKind::kConfig, "no study " + given, {}, "studies: " + names);
}

void list_studies() {
  for (const std::string& file : study_files()) {
    const config::Sweep sweep = load_sweep(file, {});
    std::cout << std::filesystem::path(file).stem().string() << "  " << sweep.study().title()
              << "\n";
  }
}

struct StudyArguments {
  std::string study;
  std::vector<std::string> settings;
};

int run_study(const StudyArguments& arguments, bool json) {
  RunArguments run;
  run.file = find_study(arguments.study);
  run.settings = arguments.settings;
  const config::Sweep sweep = load_sweep(run.file, to_overrides(run.settings));
  if (!sweep.has_study()) {
    throw Error(ErrorKind::kConfig, "the sweep is no study: study is missing", run.file);
  }
  const int code = run_sweep(run);
  if (code != 0 && code != 1) {
    return code;
  }
  const Campaign campaign = read_campaign(std::filesystem::absolute(sweep.output()).string());
  const std::vector<ContrastResult> results = decide_contrasts(campaign.sweep, campaign.rows);
  std::cout << (json ? contrasts_json(campaign.sweep, results) + "\n"
                     : contrasts_text(campaign.sweep, results));
  return code;
}

}  // namespace

void add_study(CLI::App& app, CommandContext& context) {
  CLI::App* command = app.add_subcommand(
      "study", "put a published claim to the test and print the verdict; without a number: list");
  const auto arguments = std::make_shared<StudyArguments>();
  command->add_option("NN", arguments->study, "number or name of a study, or its file");
  add_settings(*command, arguments->settings);
  command->add_flag("--json", context.json, "the verdict as JSON");
  command->callback([arguments, &context] {
    if (arguments->study.empty()) {
      list_studies();
    } else {
      context.exit_code = run_study(*arguments, context.json);
    }
  });
}

}  // namespace finescale
