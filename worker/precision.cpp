// SPDX-License-Identifier: Apache-2.0
#include "worker/precision.h"

#include "configs/mesh_plan.h"
#include "worker/methods/method.h"

namespace finescale {

DType storage_of(config::Precision precision) {
  switch (precision) {
    case config::PRECISION_F32:
    case config::PRECISION_BF16:
      return DType::kF32;
    case config::PRECISION_F64:
      return DType::kF64;
  }
  return DType::kF32;
}

Products products_of(config::Precision precision) {
  switch (precision) {
    case config::PRECISION_F32:
    case config::PRECISION_F64:
      return Products::kF32;
    case config::PRECISION_BF16:
      return Products::kBf16;
  }
  return Products::kF32;
}

Engine engine_for(const Engine& engine, const config::Train& train) {
  Engine own = engine;
  own.stream = engine.stream.with_products(products_of(train.precision()));
  return own;
}

// At ZeRO-3 the values come anew in every round.
bool keeps_rounded(const Engine& engine) {
  return engine.stream.products() == Products::kBf16 && engine.zero_stage < 3;
}

BaseForm base_form(const Engine& engine, const config::Train& train) {
  const bool alone =
      keeps_rounded(engine) && !engine.stream.on_gpu() && !reads_base(train.method());
  return {.is_rounded = alone,
          .quantised = quantisation_of(train.method()),
          .rounds_table = rounds_table(train)};
}

}  // namespace finescale
