// SPDX-License-Identifier: Apache-2.0
// Logits of a model as generation makes them.
#pragma once

#include <cstdint>
#include <vector>

#include "core/transfer.h"
#include "worker/eval/decoder.h"

namespace finescale {

// [rows, V] of one pass: made-up tokens below 40, sequences of three.
inline std::vector<float> decoded_logits(const Transformer& model, int rows) {
  DecoderBatch batch;
  for (std::int32_t i = 0; i < rows; ++i) {
    batch.add(i * 7 % 40, i % 3, i / 3);
    batch.outputs.push_back(i);
  }
  Decoder decoder(model, {.rows = rows, .outputs = rows, .sequences = rows, .positions = 4});
  decoder.begin(batch);
  decoder.pass();
  const TensorView logits = decoder.logits();
  std::vector<float> values(static_cast<std::size_t>(logits.num_elements()));
  copy_to_host(model.stream(), logits.data, values.data(), logits.size_bytes());
  return values;
}

}  // namespace finescale
