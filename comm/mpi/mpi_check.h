// SPDX-License-Identifier: Apache-2.0
// MPI_CHECK(expression) throws kComm with the quoted expression and MPI's own text. Communicators
// of this project return errors instead of aborting (MPI_ERRORS_RETURN).
#pragma once

#include <mpi.h>

#include "core/unique_handle.h"

namespace finescale {

[[noreturn]] void throw_mpi_error(int code, const char* expression, const char* file, int line);

struct CommunicatorTraits {
  using Handle = MPI_Comm;
  static Handle invalid() noexcept { return MPI_COMM_NULL; }
  static void destroy(Handle handle) noexcept;  // nothing after MPI_Finalize
};
using Communicator = UniqueHandle<CommunicatorTraits>;

}  // namespace finescale

#define MPI_CHECK(expression)                                                  \
  do {                                                                         \
    if (const int mpi_code = (expression); mpi_code != MPI_SUCCESS) {          \
      ::finescale::throw_mpi_error(mpi_code, #expression, __FILE__, __LINE__); \
    }                                                                          \
  } while (false)
