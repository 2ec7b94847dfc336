// SPDX-License-Identifier: Apache-2.0
#include "worker/methods/base_weights.h"

#include "core/tensor_element.h"
#include "sharding/ordered_reduce.h"
#include "worker/model/initialize.h"

namespace finescale {

std::vector<double> whole_tensor(const BaseWeights& base, int index) {
  const LogicalTensor& tensor = base.set->tensor(index);
  std::vector<double> whole(static_cast<std::size_t>(tensor.shape.num_elements()));
  const TensorView part = base.value(index);
  if (is_first_copy(tensor, base.set->tensor_rank(), base.set->tensor_size())) {
    for_each_run(tensor.shape, base.set->part(index), [&](auto logical, auto local, auto count) {
      for (std::int64_t i = 0; i < count; ++i) {
        whole[static_cast<std::size_t>(logical + i)] = element(part, local + i);
      }
    });
  }
  if (base.tensor != nullptr) {  // one summand of each element is its value, the others are zero
    ordered_all_reduce(*base.tensor, TensorView(whole.data(), DType::kF64, {std::ssize(whole)}));
  }
  return whole;
}

}  // namespace finescale
