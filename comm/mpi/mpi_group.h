// SPDX-License-Identifier: Apache-2.0
// Groups over MPI. MpiSession initialises MPI for the process and finalises it. It asks for
// MPI_THREAD_MULTIPLE: queues, the watchdog and the main thread of a rank call at the same time.
#pragma once

#include <memory>

#include "comm/group.h"

namespace finescale {

class MpiSession {
 public:
  MpiSession(int* argc, char*** argv);
  ~MpiSession();
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;
};

// Whether a launcher (mpirun, srun, Hydra) started this process as a rank of a job.
[[nodiscard]] bool is_launched_rank() noexcept;

[[nodiscard]] std::unique_ptr<Group> make_world_group();  // duplicates MPI_COMM_WORLD
[[nodiscard]] void* native_communicator(
    const Group& group);  // MPI_Comm*, for parallel HDF5; null when not MPI

}  // namespace finescale
