// SPDX-License-Identifier: Apache-2.0
#include "comm/mpi/mpi_check.h"

#include <array>
#include <string>

#include "core/error.h"

namespace finescale {

void throw_mpi_error(int code, const char* expression, const char* file, int line) {
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(code, text.data(), &length);
  throw Error(ErrorKind::kComm,
              std::string(text.data(), static_cast<std::size_t>(length)) + " in " + expression, {},
              {}, file, line);
}

void CommunicatorTraits::destroy(Handle handle) noexcept {
  int finalized = 0;
  MPI_Finalized(&finalized);
  if (finalized == 0) {
    MPI_Comm_free(&handle);
  }
}

}  // namespace finescale
