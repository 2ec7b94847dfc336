// SPDX-License-Identifier: Apache-2.0
#include "worker/tool/verify_resume_tool.h"

#include <iostream>

#include "core/log.h"
#include "worker/tool/tool_command.h"
#include "worker/verify_resume.h"

namespace finescale {

namespace {

constexpr std::int64_t kUsualSteps = 50;  // updates: seconds for small models

}  // namespace

int verify_resume_tool(int argc, char** argv) {
  CLI::App app("execute some updates of a trial again and compare their bits with its record",
               "finescale verify-resume");
  std::string artifact;
  std::int64_t steps = kUsualSteps;
  bool json = false;
  app.add_option("ARTIFACT", artifact, "DIR TRIAL, or the artifact of a training stage")
      ->required();
  app.add_option("--steps", steps, "updates from where the stage started (default 50); 0: all")
      ->check(CLI::NonNegativeNumber);
  app.add_flag("--json", json, "as JSON on standard output");
  return run_tool_command(app, argc, argv, json, [&] {
    const std::shared_ptr<Logger> logger = make_null_logger();
    const ResumeCertificate certificate = verify_resume(artifact, steps, *logger);
    std::cout << (json ? certificate_json(certificate) + "\n" : certificate_text(certificate));
    return certificate.is_bit_equal() || certificate.is_tolerance_equal() ? 0 : 1;
  });
}

}  // namespace finescale
