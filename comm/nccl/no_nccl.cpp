// SPDX-License-Identifier: Apache-2.0
// What a build without CUDA has: nobody has a GPU to make such a group with.
#include "comm/gpu_channel.h"
#include "comm/nccl/nccl_group.h"
#include "core/error.h"

namespace finescale {

std::unique_ptr<Group> make_nccl_group(std::unique_ptr<Group> /*host*/, Gpu& /*gpu*/) {
  throw Error(ErrorKind::kDevice, "this build has no CUDA, hence no NCCL");
}

std::unique_ptr<GpuChannel> open_gpu_channel(Group& /*group*/, int /*from*/, int /*to*/) {
  throw Error(ErrorKind::kDevice, "this build has no CUDA, hence no NCCL");
}

}  // namespace finescale
