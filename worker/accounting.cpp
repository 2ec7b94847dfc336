// SPDX-License-Identifier: Apache-2.0
#include "worker/accounting.h"

#include <algorithm>
#include <optional>

#include "configs/chosen_tensors.h"
#include "configs/mesh_plan.h"
#include "configs/method_shape.h"

namespace finescale {

double attended(const DecoderShape& shape, std::int64_t length) {
  const auto whole = static_cast<double>(length);
  double sum = 0;
  for (int layer = 0; layer < shape.num_layers; ++layer) {
    const auto window = static_cast<double>(shape.window_of_layer(layer));
    const double beyond = window == 0 ? 0 : std::max(0.0, whole - window);
    sum += whole * whole - beyond * beyond;
  }
  return sum / shape.num_layers;
}

double train_flops(const ModelLayout& layout, const config::Method& method,
                   std::int64_t adapter_parameters, std::int64_t tokens, std::int64_t labels,
                   double sum_attended) {
  const auto parameters = static_cast<double>(layout.num_layer_parameters());
  const DecoderShape& shape = layout.shape();
  const double head = static_cast<double>(shape.vocab_size) * shape.hidden_size;
  if (const auto trained = trained_tensors(method, shape)) {
    const BackwardWork work = backward_work(shape, *trained);
    const double multiplied = parameters + static_cast<double>(work.inputs + work.weights);
    const double head_products = 1.0 + (work.head_inputs ? 1 : 0) + (work.head_weights ? 1 : 0);
    return 2 * static_cast<double>(tokens) * multiplied +
           2 * static_cast<double>(labels) * head_products * head +
           (2.0 * shape.num_layers + 4.0 * work.attention) * static_cast<double>(shape.query()) *
               sum_attended;
  }
  const bool trains_base = method.has_full();
  const auto virtual_tokens = static_cast<double>(num_virtual_tokens(method));
  const double multiplied_adapters =  // virtual tokens are attended to
      trains_base || virtual_tokens > 0 ? 0 : static_cast<double>(adapter_parameters);
  const double passes = trains_base ? 6 : 4;
  double per_token = passes * parameters + 6.0 * multiplied_adapters;
  if (method.has_vera()) {  // random matrices beside few parameters
    const planner::ModelShape model = model_shape(shape);
    per_token =
        passes * parameters + 2 * shape.num_layers * method_shape(method, shape).products(model);
  }
  if (method.lora().init() == config::LORA_INIT_PISSA) {  // a frozen branch of the same size
    per_token += 4.0 * static_cast<double>(adapter_parameters);
  }
  double head_passes = passes;
  double attention = 6.0 * shape.num_layers;
  if (trains_base && method.full().has_last_layers()) {
    const double frozen = shape.num_layers - method.full().last_layers();
    per_token -= 4 * parameters * frozen / shape.num_layers;
    attention -= 4 * frozen;
    head_passes = shape.tied ? 4 : 6;
  }
  return static_cast<double>(tokens) * per_token +
         static_cast<double>(labels) * head_passes * head +
         attention * static_cast<double>(shape.query()) *
             (sum_attended + 2 * virtual_tokens * static_cast<double>(tokens));
}

double forward_flops(const DecoderShape& shape, std::int64_t tokens, std::int64_t labels,
                     double sum_attended) {
  const auto parameters =
      static_cast<double>(model_shape(shape).layers * model_shape(shape).layer_matrices());
  const double head = static_cast<double>(shape.vocab_size) * shape.hidden_size;
  return 2 * (static_cast<double>(tokens) * parameters + static_cast<double>(labels) * head +
              static_cast<double>(shape.num_layers) * static_cast<double>(shape.query()) *
                  sum_attended);
}

}  // namespace finescale
