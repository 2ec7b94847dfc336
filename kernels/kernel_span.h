// SPDX-License-Identifier: Apache-2.0
// Tells a stream's observer of one kernel. Without an observer nothing is computed.
#pragma once

#include <utility>

#include "core/device.h"
#include "core/kernel_observer.h"
#include "core/tensor.h"

namespace finescale {

template <class Describe>  // returns the KernelCall
class KernelSpan {
 public:
  KernelSpan(const Stream& stream, Describe describe)
      : observer_(stream.observer()), describe_(std::move(describe)) {
    if (observer_ != nullptr) {
      observer_->begin();
    }
  }
  ~KernelSpan() {
    if (observer_ != nullptr) {
      observer_->end(describe_());
    }
  }
  KernelSpan(const KernelSpan&) = delete;
  KernelSpan& operator=(const KernelSpan&) = delete;

 private:
  KernelObserver* observer_;
  Describe describe_;
};

// Bytes of the elements of all these tensors.
template <class... Tensors>
[[nodiscard]] double bytes_of(const Tensors&... tensors) {
  return (static_cast<double>(tensors.size_bytes()) + ... + 0.0);
}

}  // namespace finescale
