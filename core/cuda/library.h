// SPDX-License-Identifier: Apache-2.0
// A shared library of NVIDIA's that is loaded when it is first needed and never unloaded.
#pragma once

#include <string>

namespace finescale {

class CudaLibrary {
 public:
  // "libcublasLt.so.13", and what to do when it is missing. Throws kDevice.
  CudaLibrary(std::string file, const char* hint);
  [[nodiscard]] void* symbol(const char* name) const;  // throws kDevice

 private:
  std::string file_;
  void* handle_;
};

}  // namespace finescale

// Sets `field` to a function of the library. The tests' emulated libraries are linked instead.
#ifdef FINESCALE_CUDA_EMULATION
#define FINESCALE_CUDA_SYMBOL(library, field, function) \
  do {                                                  \
    (void)(library);                                    \
    (field) = &::function;                              \
  } while (false)
#else
#define FINESCALE_CUDA_SYMBOL(library, field, function) \
  (field) = reinterpret_cast<decltype(&::function)>((library).symbol(#function))
#endif
