// SPDX-License-Identifier: Apache-2.0
#include "core/cuda/library.h"

#include <cuda_runtime_api.h>  // whether it is emulated
#include <dlfcn.h>

#include <utility>

#include "core/error.h"

namespace finescale {

#ifdef FINESCALE_CUDA_EMULATION

CudaLibrary::CudaLibrary(std::string file, const char* /*hint*/)
    : file_(std::move(file)), handle_(nullptr) {}

void* CudaLibrary::symbol(const char* /*name*/) const {
  return handle_;
}

#else

CudaLibrary::CudaLibrary(std::string file, const char* hint)
    : file_(std::move(file)), handle_(::dlopen(file_.c_str(), RTLD_NOW | RTLD_LOCAL)) {
  if (handle_ == nullptr) {
    throw Error(ErrorKind::kDevice,
                "a library of CUDA cannot be loaded: " + std::string(::dlerror()), {}, hint);
  }
}

void* CudaLibrary::symbol(const char* name) const {
  void* found = ::dlsym(handle_, name);
  if (found == nullptr) {
    throw Error(ErrorKind::kDevice, file_ + " has no " + name, {},
                "is it another version than this build's?");
  }
  return found;
}

#endif

}  // namespace finescale
