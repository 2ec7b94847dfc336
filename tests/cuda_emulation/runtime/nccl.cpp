// SPDX-License-Identifier: Apache-2.0
// NCCL of the emulated machine. A call stands in its rank's stream until every rank that takes part
// has come to it; then the data of all moves at once. Ranks that call different things, or with
// other sizes, are an error here instead of a hang.
#include <nccl.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "tests/cuda_emulation/runtime/machine.h"
#include "tests/cuda_emulation/runtime/nccl.h"

namespace emulation = finescale::cuda::emulation;

namespace {

enum class Kind { kBroadcast, kAllGather, kSend, kReceive };

struct Call {
  Kind kind = Kind::kBroadcast;
  const void* from = nullptr;
  void* to = nullptr;
  std::size_t size_bytes = 0;  // of this rank's part
  int peer = 0;                // or root
  bool has_come = false;       // its stream stands at it
  bool is_done = false;
};
using Calls = std::vector<std::shared_ptr<Call>>;

struct Shared {  // by all ranks of a communicator
  explicit Shared(int ranks)
      : devices(static_cast<std::size_t>(ranks), -1),
        collectives(static_cast<std::size_t>(ranks)),
        num_splits(static_cast<std::size_t>(ranks)) {}
  [[nodiscard]] int size() const { return static_cast<int>(devices.size()); }

  struct Split {
    std::map<int, std::pair<int, int>> wanted;     // by rank: color, key
    std::map<int, std::shared_ptr<Shared>> parts;  // by color
  };
  int num_here = 0;
  bool has_lost_one = false;
  std::vector<int> devices;                    // by rank
  std::vector<Calls> collectives;              // by rank, in the order of their issue
  std::map<std::pair<int, int>, Calls> sends;  // by sender and receiver, likewise
  std::map<std::pair<int, int>, Calls> receives;
  std::vector<std::size_t> num_splits;  // by rank
  std::deque<Split> splits;
};

}  // namespace

// NOLINTBEGIN(readability-identifier-naming, cppcoreguidelines-owning-memory): the library's names
struct ncclComm {
  std::shared_ptr<Shared> shared;
  int rank = 0;
  int device = 0;
  bool is_aborted = false;
};

namespace {

std::map<long, std::shared_ptr<Shared>>& waiting_for_ranks() {
  static std::map<long, std::shared_ptr<Shared>> all;
  return all;
}
std::vector<ncclComm*>& all_comms() {
  static std::vector<ncclComm*> all;
  return all;
}

struct Issued {
  ncclComm* comm;
  cudaStream_t stream;
  std::shared_ptr<Call> call;
};
// NOLINTBEGIN(cppcoreguidelines-avoid-non-const-global-variables): a thread's open group
thread_local int group_depth = 0;
thread_local std::vector<Issued> group_calls;
// NOLINTEND(cppcoreguidelines-avoid-non-const-global-variables)

// The call and what it meets, when all of them are issued.
Calls counterparts(Shared& shared, int rank, const std::shared_ptr<Call>& call,
                   std::size_t number) {
  Calls all;
  const auto nth = [number](const Calls& calls) {
    return number < calls.size() ? calls[number] : nullptr;
  };
  if (call->kind == Kind::kSend || call->kind == Kind::kReceive) {
    const bool sends = call->kind == Kind::kSend;
    const std::pair<int, int> pair =
        sends ? std::pair{rank, call->peer} : std::pair{call->peer, rank};
    all = {nth(shared.sends[pair]), nth(shared.receives[pair])};
  } else {
    for (const Calls& calls : shared.collectives) {
      all.push_back(nth(calls));
    }
  }
  const bool complete = std::all_of(all.begin(), all.end(), [](const auto& one) { return one; });
  return complete ? all : Calls{};
}

void move_data(const Calls& all) {
  if (all.front()->is_done) {
    return;
  }
  const Call& first = *all.front();
  for (const auto& call : all) {
    const bool agrees =
        call->size_bytes == first.size_bytes &&
        (first.kind == Kind::kSend || (call->kind == first.kind && call->peer == first.peer));
    if (!agrees) {
      throw std::runtime_error("ranks disagree about what they do together");
    }
    call->is_done = true;
  }
  switch (first.kind) {
    case Kind::kSend:
      std::memcpy(all[1]->to, first.from, first.size_bytes);
      return;
    case Kind::kBroadcast: {
      const std::vector<std::byte> data(
          static_cast<const std::byte*>(all[static_cast<std::size_t>(first.peer)]->from),
          static_cast<const std::byte*>(all[static_cast<std::size_t>(first.peer)]->from) +
              first.size_bytes);
      for (const auto& call : all) {
        std::memcpy(call->to, data.data(), data.size());
      }
      return;
    }
    case Kind::kAllGather: {
      std::vector<std::byte> data;
      for (const auto& call : all) {
        const auto* part = static_cast<const std::byte*>(call->from);
        data.insert(data.end(), part, part + call->size_bytes);
      }
      for (const auto& call : all) {
        std::memcpy(call->to, data.data(), data.size());
      }
      return;
    }
    case Kind::kReceive:
      break;
  }
  throw std::runtime_error("a receive meets no send");
}

// One piece of work for all calls of a group on one stream: none ends before all may begin.
ncclResult_t enqueue(const std::vector<Issued>& calls) {
  struct Waiting {
    ncclComm* comm;
    std::shared_ptr<Call> call;
    std::size_t number;
  };
  auto waiting = std::make_shared<std::vector<Waiting>>();
  for (const Issued& one : calls) {
    Shared& shared = *one.comm->shared;
    const int rank = one.comm->rank;
    Calls& list = one.call->kind == Kind::kSend ? shared.sends[{rank, one.call->peer}]
                  : one.call->kind == Kind::kReceive
                      ? shared.receives[{one.call->peer, rank}]
                      : shared.collectives[static_cast<std::size_t>(rank)];
    waiting->push_back({one.comm, one.call, list.size()});
    list.push_back(one.call);
  }
  const auto of = [](const Waiting& one) {
    return counterparts(*one.comm->shared, one.comm->rank, one.call, one.number);
  };
  const auto may_begin = [waiting, of] {
    bool all_have_come = true;
    for (const Waiting& one : *waiting) {
      one.call->has_come = true;
      const Calls all = of(one);
      const bool have_come =
          !all.empty() &&
          std::all_of(all.begin(), all.end(), [](const auto& call) { return call->has_come; });
      all_have_come = all_have_come && (have_come || one.comm->is_aborted);
    }
    return all_have_come;
  };
  const auto run = [waiting, of] {
    for (const Waiting& one : *waiting) {
      if (!one.comm->is_aborted) {
        move_data(of(one));
      }
    }
  };
  const cudaError_t code = emulation::enqueue(calls.front().stream, {"NCCL", run, may_begin});
  return code == cudaSuccess ? ncclSuccess : ncclUnhandledCudaError;
}

std::size_t size_of(ncclDataType_t type) {
  return type == ncclFloat64 ? 8 : type == ncclFloat32 ? 4 : 1;
}

ncclResult_t issue(ncclComm* comm, cudaStream_t stream, Call call, std::size_t whole_bytes) {
  ncclResult_t result = ncclSuccess;
  emulation::inside([&] {
    const auto lies = [&](const void* memory, std::size_t size) {
      return size == 0 || emulation::device_of_memory(memory, size) == comm->device;
    };
    if (comm->is_aborted || call.peer < 0 || call.peer >= comm->shared->size() ||
        emulation::device_of(stream) != comm->device ||
        (call.kind != Kind::kReceive && call.from != nullptr &&
         !lies(call.from, call.size_bytes)) ||
        (call.kind != Kind::kSend && !lies(call.to, whole_bytes))) {
      result = ncclInvalidArgument;
      return;
    }
    group_calls.push_back({comm, stream, std::make_shared<Call>(call)});
    if (group_depth == 0) {
      result = enqueue(std::exchange(group_calls, {}));
    }
  });
  return result;
}

ncclComm* add_comm(std::shared_ptr<Shared> shared, int rank, int device) {
  shared->devices[static_cast<std::size_t>(rank)] = device;
  ++shared->num_here;
  all_comms().push_back(new ncclComm{std::move(shared), rank, device, false});
  return all_comms().back();
}

bool has_one_gpu_twice(std::vector<int> devices) {
  std::sort(devices.begin(), devices.end());
  return std::adjacent_find(devices.begin(), devices.end()) != devices.end();
}

void forget(ncclComm* comm) {
  std::erase(all_comms(), comm);
}

}  // namespace

namespace finescale::cuda::emulation {

void lose_peer_of(int device) {
  inside([device] {
    for (const ncclComm* comm : all_comms()) {
      const auto& devices = comm->shared->devices;
      comm->shared->has_lost_one =
          comm->shared->has_lost_one ||
          std::find(devices.begin(), devices.end(), device) != devices.end();
    }
  });
}

}  // namespace finescale::cuda::emulation

ncclResult_t ncclGetVersion(int* version) {
  *version = 22809;
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess:
      return "no error";
    case ncclUnhandledCudaError:
      return "unhandled cuda error";
    case ncclSystemError:
      return "unhandled system error";
    case ncclInternalError:
      return "internal error";
    case ncclInvalidArgument:
      return "invalid argument";
    case ncclInvalidUsage:
      return "invalid usage";
    case ncclRemoteError:
      return "remote process exited or there was a network error";
    case ncclInProgress:
      return "NCCL operation in progress";
  }
  return "unknown result code";
}

const char* ncclGetLastError(ncclComm_t /*comm*/) {
  return "emulated";
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  emulation::inside([id] {
    static long next = 1;
    *id = {};
    std::memcpy(id->internal, &next, sizeof next);
    ++next;
  });
  return ncclSuccess;
}

ncclResult_t ncclCommInitRank(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank) {
  long number = 0;
  std::memcpy(&number, id.internal, sizeof number);
  int device = 0;
  if (number == 0 || rank < 0 || rank >= ranks || cudaGetDevice(&device) != cudaSuccess) {
    return ncclInvalidArgument;
  }
  std::shared_ptr<Shared> shared;
  emulation::inside([&] {
    auto& waiting = waiting_for_ranks()[number];
    if (waiting == nullptr) {
      waiting = std::make_shared<Shared>(ranks);
    }
    shared = waiting;
    *comm = add_comm(shared, rank, device);
    if (shared->num_here == ranks) {
      waiting_for_ranks().erase(number);
    }
  });
  emulation::wait_until("ncclCommInitRank", [&] { return shared->num_here == ranks; });
  if (has_one_gpu_twice(shared->devices)) {
    emulation::inside([&] { forget(*comm); });
    delete std::exchange(*comm, nullptr);  // nothing is left of one that is refused
    return ncclInvalidUsage;
  }
  return ncclSuccess;
}

ncclResult_t ncclCommSplit(ncclComm_t comm, int color, int key, ncclComm_t* made,
                           ncclConfig_t* /*config*/) {
  Shared& shared = *comm->shared;
  std::size_t number = 0;
  emulation::inside([&] {
    number = shared.num_splits[static_cast<std::size_t>(comm->rank)]++;
    if (number == shared.splits.size()) {
      shared.splits.emplace_back();
    }
    shared.splits[number].wanted[comm->rank] = {color, key};
  });
  emulation::wait_until("ncclCommSplit", [&] {
    return static_cast<int>(shared.splits[number].wanted.size()) == shared.size();
  });
  *made = nullptr;
  if (color == NCCL_SPLIT_NOCOLOR) {
    return ncclSuccess;
  }
  emulation::inside([&] {
    Shared::Split& split = shared.splits[number];
    std::vector<std::pair<int, int>> order;  // key, rank
    for (const auto& [rank, wish] : split.wanted) {
      if (wish.first == color) {
        order.emplace_back(wish.second, rank);
      }
    }
    std::sort(order.begin(), order.end());
    auto& part = split.parts[color];
    if (part == nullptr) {
      part = std::make_shared<Shared>(static_cast<int>(order.size()));
    }
    const auto mine = std::find(order.begin(), order.end(), std::pair{key, comm->rank});
    *made = add_comm(part, static_cast<int>(mine - order.begin()), comm->device);
  });
  return ncclSuccess;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  emulation::inside([comm] { forget(comm); });
  delete comm;
  return ncclSuccess;
}

// What waits in streams ends; the memory is kept, its work refers to it.
ncclResult_t ncclCommAbort(ncclComm_t comm) {
  emulation::inside([comm] {
    comm->is_aborted = true;
    forget(comm);
  });
  static std::vector<std::unique_ptr<ncclComm>> aborted;
  emulation::inside([comm] { aborted.emplace_back(comm); });
  return ncclSuccess;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error) {
  emulation::inside([&] { *error = comm->shared->has_lost_one ? ncclRemoteError : ncclSuccess; });
  return ncclSuccess;
}

ncclResult_t ncclBroadcast(const void* from, void* to, std::size_t count, ncclDataType_t type,
                           int root, ncclComm_t comm, cudaStream_t stream) {
  const std::size_t size = count * size_of(type);
  return issue(comm, stream, {Kind::kBroadcast, from, to, size, root}, size);
}

ncclResult_t ncclAllGather(const void* from, void* to, std::size_t count, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t stream) {
  const std::size_t size = count * size_of(type);
  return issue(comm, stream, {Kind::kAllGather, from, to, size, 0},
               size * static_cast<std::size_t>(comm->shared->size()));
}

ncclResult_t ncclSend(const void* from, std::size_t count, ncclDataType_t type, int peer,
                      ncclComm_t comm, cudaStream_t stream) {
  return issue(comm, stream, {Kind::kSend, from, nullptr, count * size_of(type), peer}, 0);
}

ncclResult_t ncclRecv(void* to, std::size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  const std::size_t size = count * size_of(type);
  return issue(comm, stream, {Kind::kReceive, nullptr, to, size, peer}, size);
}

ncclResult_t ncclGroupStart() {
  ++group_depth;
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
  if (group_depth == 0) {
    return ncclInvalidUsage;
  }
  if (--group_depth > 0 || group_calls.empty()) {
    return ncclSuccess;
  }
  ncclResult_t result = ncclSuccess;
  emulation::inside([&] { result = enqueue(std::exchange(group_calls, {})); });
  return result;
}
// NOLINTEND(readability-identifier-naming, cppcoreguidelines-owning-memory)
