// SPDX-License-Identifier: Apache-2.0
// NCCL, loaded when the first group of GPUs needs it, so that nothing else asks for it.
#pragma once

#include <nccl.h>

namespace finescale {

struct Nccl {
  decltype(&::ncclGetVersion) version;
  decltype(&::ncclGetErrorString) error_string;
  decltype(&::ncclGetLastError) last_error;
  decltype(&::ncclGetUniqueId) unique_id;
  decltype(&::ncclCommInitRank) init_rank;
  decltype(&::ncclCommSplit) split;
  decltype(&::ncclCommDestroy) destroy;
  decltype(&::ncclCommAbort) abort;
  decltype(&::ncclCommGetAsyncError) async_error;
  decltype(&::ncclBroadcast) broadcast;
  decltype(&::ncclAllGather) all_gather;
  decltype(&::ncclSend) send;
  decltype(&::ncclRecv) receive;
  decltype(&::ncclGroupStart) group_start;
  decltype(&::ncclGroupEnd) group_end;
};

// Loads it once for the process. Throws kDevice when it is not installed.
[[nodiscard]] const Nccl& nccl();

[[noreturn]] void throw_nccl_error(ncclResult_t result, const char* expression, int rank,
                                   const char* file, int line);

}  // namespace finescale

// Throws kComm with the quoted expression, NCCL's own text and the rank.
#define NCCL_CHECK(rank, expression)                                                  \
  do {                                                                                \
    if (const ncclResult_t result = (expression); result != ncclSuccess) {            \
      ::finescale::throw_nccl_error(result, #expression, (rank), __FILE__, __LINE__); \
    }                                                                                 \
  } while (false)
