// SPDX-License-Identifier: Apache-2.0
#include "comm/nccl/nccl_library.h"

#include <string>

#include "core/cuda/library.h"
#include "core/error.h"

namespace finescale {

namespace {

Nccl load() {
  const CudaLibrary library("libnccl.so." + std::to_string(NCCL_MAJOR),
                            "install NCCL, or put its folder on LD_LIBRARY_PATH; one rank on one "
                            "GPU does without");
  Nccl table{};
  FINESCALE_CUDA_SYMBOL(library, table.version, ncclGetVersion);
  FINESCALE_CUDA_SYMBOL(library, table.error_string, ncclGetErrorString);
  FINESCALE_CUDA_SYMBOL(library, table.last_error, ncclGetLastError);
  FINESCALE_CUDA_SYMBOL(library, table.unique_id, ncclGetUniqueId);
  FINESCALE_CUDA_SYMBOL(library, table.init_rank, ncclCommInitRank);
  FINESCALE_CUDA_SYMBOL(library, table.split, ncclCommSplit);
  FINESCALE_CUDA_SYMBOL(library, table.destroy, ncclCommDestroy);
  FINESCALE_CUDA_SYMBOL(library, table.abort, ncclCommAbort);
  FINESCALE_CUDA_SYMBOL(library, table.async_error, ncclCommGetAsyncError);
  FINESCALE_CUDA_SYMBOL(library, table.broadcast, ncclBroadcast);
  FINESCALE_CUDA_SYMBOL(library, table.all_gather, ncclAllGather);
  FINESCALE_CUDA_SYMBOL(library, table.send, ncclSend);
  FINESCALE_CUDA_SYMBOL(library, table.receive, ncclRecv);
  FINESCALE_CUDA_SYMBOL(library, table.group_start, ncclGroupStart);
  FINESCALE_CUDA_SYMBOL(library, table.group_end, ncclGroupEnd);
  return table;
}

}  // namespace

const Nccl& nccl() {
  static const Nccl kTable = load();
  return kTable;
}

void throw_nccl_error(ncclResult_t result, const char* expression, int rank, const char* file,
                      int line) {
  const char* detail = nccl().last_error(nullptr);
  throw Error(ErrorKind::kComm,
              std::string("NCCL: ") + nccl().error_string(result) + " in " + expression +
                  " on rank " + std::to_string(rank) +
                  (detail != nullptr && *detail != '\0' ? std::string(": ") + detail : ""),
              {}, "NCCL_DEBUG=WARN tells more", file, line);
}

}  // namespace finescale
