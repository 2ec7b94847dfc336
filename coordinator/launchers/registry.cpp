// SPDX-License-Identifier: Apache-2.0
#include "coordinator/launchers/launcher.h"
#include "core/error.h"

namespace finescale {

std::unique_ptr<Launcher> make_launcher(const config::Launcher& config) {
  switch (config.kind_case()) {
    case config::Launcher::kMpirun:
      return make_mpirun(config.mpirun());
    case config::Launcher::KIND_NOT_SET:
      break;
  }
  throw Error(ErrorKind::kInternal, "a sweep has no launcher: defaults were not resolved");
}

}  // namespace finescale
