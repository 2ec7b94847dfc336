// SPDX-License-Identifier: Apache-2.0
#include <iostream>

#include "coordinator/audit.h"
#include "coordinator/commands/command.h"
#include "coordinator/contrasts.h"
#include "coordinator/finish.h"
#include "coordinator/metrics/metrics_file.h"
#include "coordinator/metrics/tensorboard.h"
#include "coordinator/results_text.h"

namespace finescale {

void add_results(CLI::App& app, CommandContext& context) {
  CLI::App* command = app.add_subcommand(
      "results", "one row per trial: axis values, state, metrics, tokens, FLOPs, seconds");
  struct Arguments {
    std::string directory;
    bool csv = false;
    bool canonical = false;
    bool hdf5 = false;
    bool tensorboard = false;
    bool contrasts = false;
  };
  const auto arguments = std::make_shared<Arguments>();
  command->add_option("DIR", arguments->directory, "campaign directory");
  command->add_flag("--csv", arguments->csv, "as CSV");
  auto* json = command->add_flag("--json", context.json, "as JSON");
  command
      ->add_flag("--canonical", arguments->canonical,
                 "without times and places: bit-identical for equal work")
      ->needs(json);
  command->add_flag("--hdf5", arguments->hdf5, "publish metrics.h5 and print its path");
  command->add_flag("--tensorboard", arguments->tensorboard,
                    "write event files for TensorBoard and print their directory");
  command->add_flag("--contrasts", arguments->contrasts,
                    "the rules that were stated before the run, decided");
  command->callback([arguments, &context] {
    const Campaign campaign = read_campaign(campaign_directory(arguments->directory));
    if (arguments->contrasts) {
      const auto results = decide_contrasts(campaign.sweep, campaign.rows);
      std::cout << (context.json ? contrasts_json(campaign.sweep, results) + "\n"
                                 : contrasts_text(campaign.sweep, results));
    } else if (arguments->hdf5) {
      std::string why_not;
      const std::optional<Study> study = study_campaign(campaign, &why_not);
      const std::string path = campaign.directory + "/metrics.h5";
      write_metrics_file(campaign, study.value_or(Study()), path);
      std::cout << path << "\n";
    } else if (arguments->tensorboard) {
      const std::string path = campaign.directory + "/tensorboard";
      write_tensorboard(campaign, path);
      std::cout << path << "\n";
    } else if (context.json) {
      std::cout << results_json(campaign, arguments->canonical) << "\n";
    } else {
      std::cout << (arguments->csv ? results_csv(campaign) : results_table(campaign));
    }
  });
}

void add_audit(CLI::App& app, CommandContext& context) {
  CLI::App* command =
      app.add_subcommand("audit", "prove the accounting of a campaign, or list each violation");
  const auto directory = std::make_shared<std::string>();
  command->add_option("DIR", *directory, "campaign directory");
  command->add_flag("--json", context.json, "as JSON");
  command->callback([directory, &context] {
    const Audit audit = audit_campaign(read_campaign(campaign_directory(*directory)));
    if (context.json) {
      std::cout << audit_json(audit) << "\n";
    } else {
      std::cout << "stages planned " << audit.planned << " = committed " << audit.committed
                << " + stopped " << audit.stopped << " + failed " << audit.failed << " + pending "
                << audit.pending << "\n";
      for (const Violation& violation : audit.violations) {
        std::cout << violation.rule << ": " << violation.what << "\n";
      }
      std::cout << (audit.violations.empty() ? "ok\n" : "NOT ok\n");
    }
    context.exit_code = audit.violations.empty() ? 0 : 1;
  });
}

void add_report(CLI::App& app, CommandContext& context) {
  CLI::App* command = app.add_subcommand(
      "report", "write one self-contained HTML page and CSV tables; prints its path");
  const auto directory = std::make_shared<std::string>();
  command->add_option("DIR", *directory, "campaign directory");
  command->callback([directory, &context] {
    std::cout << write_campaign_report(read_campaign(campaign_directory(*directory))) << "\n";
    context.exit_code = 0;
  });
}

}  // namespace finescale
