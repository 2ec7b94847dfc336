// SPDX-License-Identifier: Apache-2.0
#include "coordinator/prune.h"

#include <cstdio>
#include <iostream>

#include "coordinator/commands/command.h"
#include "coordinator/store.h"
#include "core/error.h"

namespace finescale {

namespace {

double mebibytes(std::int64_t bytes) {
  return static_cast<double>(bytes) / (1 << 20);
}

int prune_campaign(const std::string& directory, bool dry_run, bool json) {
  if (!dry_run && Store::is_held(directory)) {
    throw Error(ErrorKind::kResource, "a coordinator runs this campaign", directory,
                "stop it first: finescale stop");
  }
  const std::vector<Prunable> files = what_may_be_pruned(read_campaign(directory));
  if (!dry_run && !files.empty()) {
    prune(directory, files);
  }
  if (json) {
    std::cout << prune_json(files, !dry_run) << "\n";
    return 0;
  }
  std::int64_t bytes = 0;
  for (const Prunable& file : files) {
    std::printf("%10.1f MiB  %s  (%s)\n", mebibytes(file.size_bytes), file.path.c_str(),
                file.why.c_str());
    bytes += file.size_bytes;
  }
  std::fprintf(stderr, "%zu files and directories, %.1f MiB: %s\n", files.size(), mebibytes(bytes),
               dry_run ? "nothing was deleted (--dry-run)" : "deleted");
  return 0;
}

}  // namespace

void add_prune(CLI::App& app, CommandContext& context) {
  CLI::App* command = app.add_subcommand(
      "prune",
      "delete what no result needs: old attempts, and of a campaign that is over trunks "
      "and models of tuning trials");
  struct Arguments {
    std::string directory;
    bool dry_run = false;
  };
  const auto arguments = std::make_shared<Arguments>();
  command->add_option("DIR", arguments->directory, "campaign directory");
  command->add_flag("--dry-run", arguments->dry_run, "only show what would be deleted");
  command->add_flag("--json", context.json, "as JSON");
  command->callback([arguments, &context] {
    context.exit_code =
        prune_campaign(campaign_directory(arguments->directory), arguments->dry_run, context.json);
  });
}

}  // namespace finescale
