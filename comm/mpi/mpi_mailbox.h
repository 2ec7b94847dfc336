// SPDX-License-Identifier: Apache-2.0
// A mailbox over a communicator of its own. Collective over `communicator` when it is made.
#pragma once

#include <mpi.h>

#include <memory>

#include "comm/mailbox.h"

namespace finescale {

[[nodiscard]] std::unique_ptr<Mailbox> make_mpi_mailbox(MPI_Comm communicator);

}  // namespace finescale
