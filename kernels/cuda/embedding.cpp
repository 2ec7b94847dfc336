// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/embedding.h"

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "core/transfer.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/scratch.h"

namespace finescale::cuda {

void embedding_backward(const Stream& stream, const TensorView& tokens, const TensorView& dy,
                        const TensorView& to) {
  const ScratchTensors order(stream, {{DType::kI32, {4, tokens.num_elements()}}});
  embedding_backward(stream, tokens, dy, order[0], to);
}

// Which tokens there are is found on the host, that must know how many; the rows are summed as by
// embedding_backward, into zeros.
std::int64_t embedding_gather_gradient(const Stream& stream, const TensorView& tokens,
                                       const TensorView& dy, const TensorView& ids,
                                       const TensorView& rows) {
  const std::int64_t count = tokens.num_elements();
  std::vector<std::int32_t> token(static_cast<std::size_t>(count));
  copy_to_host(stream, tokens.data, token.data(), tokens.size_bytes());
  std::vector<std::int32_t> found;
  std::unordered_map<std::int32_t, std::int32_t> place_of;
  for (std::int32_t& id : token) {
    if (id == kNoRow) {
      continue;
    }
    const auto [place, is_new] = place_of.try_emplace(id, static_cast<std::int32_t>(found.size()));
    if (is_new) {
      found.push_back(id);
    }
    id = place->second;
  }
  const auto num_found = static_cast<std::int64_t>(found.size());
  const ScratchTensors scratch(stream,
                               {{DType::kI32, {count}}, {rows.dtype, {num_found, dy.cols()}}});
  copy_to_device(stream, token.data(), scratch[0].data, scratch[0].size_bytes());
  cuda::fill_zero(stream, scratch[1]);
  cuda::embedding_backward(stream, scratch[0], dy, scratch[1]);
  if (num_found > 0) {
    cuda::copy(stream, scratch[1], rows.row_range(0, num_found));
  }
  copy_to_device(stream, found.data(), ids.data, found.size() * sizeof(std::int32_t));
  return num_found;
}

}  // namespace finescale::cuda
