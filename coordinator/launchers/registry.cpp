// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <filesystem>

#include "coordinator/launchers/launcher.h"
#include "core/error.h"

namespace finescale {

std::unique_ptr<Launcher> make_launcher(const config::Sweep& sweep, const std::string& campaign,
                                        Logger& logger) {
  const config::Launcher& config = sweep.resources().launcher();
  switch (config.kind_case()) {
    case config::Launcher::kMpirun:
      return make_mpirun(config.mpirun());
    case config::Launcher::kSrun:
      return make_srun(config.srun());
    case config::Launcher::kPool:
      return make_pool(sweep, campaign, logger);
    case config::Launcher::KIND_NOT_SET:
      break;
  }
  throw Error(ErrorKind::kInternal, "a sweep has no launcher: defaults were not resolved");
}

std::string worker_program() {
  std::error_code code;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", code);
  std::string path = (self.parent_path() / "finescale-worker").string();
  if (code || ::access(path.c_str(), X_OK) != 0) {
    throw Error(ErrorKind::kResource, "finescale-worker is not beside finescale", path,
                "build it: cmake --build --preset release");
  }
  return path;
}

}  // namespace finescale
