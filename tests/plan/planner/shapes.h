// SPDX-License-Identifier: Apache-2.0
// Shapes that several tests of the planner use.
#pragma once

#include "sharding/planner/workload.h"

namespace finescale::planner {

inline ModelShape tiny() {
  return {.vocab = 512,
          .hidden = 64,
          .layers = 2,
          .heads = 4,
          .kv_heads = 2,
          .head_dim = 16,
          .intermediate = 192,
          .positions = 0,
          .tied = true};
}
inline ModelShape smollm2_135m() {
  return {.vocab = 49152,
          .hidden = 576,
          .layers = 30,
          .heads = 9,
          .kv_heads = 3,
          .head_dim = 64,
          .intermediate = 1536,
          .positions = 8192,
          .tied = true};
}
inline ModelShape llama3_8b() {
  return {.vocab = 128256,
          .hidden = 4096,
          .layers = 32,
          .heads = 32,
          .kv_heads = 8,
          .head_dim = 128,
          .intermediate = 14336,
          .positions = 8192,
          .tied = false};
}
inline ModelShape llama3_70b() {
  return {.vocab = 128256,
          .hidden = 8192,
          .layers = 80,
          .heads = 64,
          .kv_heads = 8,
          .head_dim = 128,
          .intermediate = 28672,
          .positions = 8192,
          .tied = false};
}
inline ModelShape llama3_405b() {
  return {.vocab = 128256,
          .hidden = 16384,
          .layers = 126,
          .heads = 128,
          .kv_heads = 8,
          .head_dim = 128,
          .intermediate = 53248,
          .positions = 8192,
          .tied = false};
}

}  // namespace finescale::planner
