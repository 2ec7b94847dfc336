// SPDX-License-Identifier: Apache-2.0
// The matrices of a base that is kept in a few bits: this rank's parts of them, quantised as whole
// matrices, so that every cut has the same values. Frozen. The main thread of a rank fills it once.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/aligned_buffer.h"
#include "kernels/quantised.h"
#include "worker/model/parameters.h"

namespace finescale {

struct Quantisation {
  QuantFormat format = QuantFormat::kNf4;
  bool doubles = true;  // the scales are quantised too
};

// Which tensors of a model are: the matrices of its layers.
[[nodiscard]] bool is_quantised(const std::string& tensor);

class QuantisedWeights {
 public:
  // On the stream's GPU, if it has one.
  explicit QuantisedWeights(const Quantisation& how, const Stream& stream = Stream())
      : how_(how), stream_(stream) {}
  QuantisedWeights(const QuantisedWeights&) = delete;  // views point here
  QuantisedWeights& operator=(const QuantisedWeights&) = delete;
  ~QuantisedWeights() = default;

  // read(whole tensor, its values): gives all of them, whatever this rank keeps.
  using Read = std::function<void(const LocalPart& slab, const TensorView& values)>;
  void fill(int tensor, const LogicalTensor& logical, const LocalPart& part, DType dtype,
            const Read& read);
  // Null: the tensor is not here (yet).
  [[nodiscard]] const QuantisedMatrix* find(int tensor) const;
  [[nodiscard]] std::size_t memory_bytes() const;

 private:
  struct Kept {
    QuantisedMatrix matrix;
    AlignedBuffer codes, scale_codes, scales, factors;
  };
  template <class T>
  [[nodiscard]] AlignedBuffer memory_of(const std::vector<T>& values) const;

  Quantisation how_;
  Stream stream_;
  std::map<int, Kept> kept_;  // addresses stay
};

}  // namespace finescale
