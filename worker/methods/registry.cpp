// SPDX-License-Identifier: Apache-2.0
#include "core/error.h"
#include "worker/methods/method.h"

namespace finescale {

std::unique_ptr<Method> make_method(const config::Method& config, const ModelLayout& layout,
                                    ParameterSet& base, std::int64_t seed) {
  switch (config.kind_case()) {
    case config::Method::kFull:
      return make_full(config.full(), base);
    case config::Method::kLora:
      return make_lora(config.lora(), layout, base, seed);
    case config::Method::KIND_NOT_SET:
      break;
  }
  throw Error(ErrorKind::kInternal, "a stage has no method: defaults were not resolved");
}

}  // namespace finescale
