// SPDX-License-Identifier: Apache-2.0
// VeRA (Kopiczko et al. 2024): y = x W^T + x A^T diag(d) B^T diag(b). A and B are random, frozen
// and the same in every layer and module: what a module is too narrow for is left out, as PEFT does
// it. They follow from the seed, kaiming-uniform (bound sqrt(6 / columns)), and are never written.
// d starts at initial_d, b at zero.
#include <algorithm>
#include <cmath>

#include "core/random.h"
#include "worker/methods/adapter_method.h"

namespace finescale {

namespace {

AdapterPlan plan_of(const config::Vera& config) {
  AdapterPlan plan;
  plan.method = "vera";
  plan.modules = names_of(config.target_modules());
  plan.rank = config.rank();
  plan.scale = 1;
  plan.is_scaled = true;
  return plan;
}

LogicalTensor named(const char* name, std::int64_t rows, std::int64_t columns) {
  LogicalTensor tensor;
  tensor.name = name;
  tensor.shape = Shape{rows, columns};
  return tensor;
}

// Both, one behind the other.
void fill_matrices(std::int64_t seed, const LogicalTensor& a, const LogicalTensor& b,
                   const TensorView& values) {
  const auto fill = [&](const LogicalTensor& tensor, std::int64_t first) {
    const TensorView view(
        values.as<std::byte>() + static_cast<std::size_t>(first) * dtype_size(values.dtype),
        values.dtype, tensor.shape);
    fill_uniform(seed, tensor, {Shape{0, 0}, tensor.shape}, view,
                 std::sqrt(6.0 / static_cast<double>(tensor.shape[1])));
  };
  fill(a, 0);
  fill(b, a.shape.num_elements());
}

class VeraMethod final : public AdapterMethod {
 public:
  VeraMethod(const config::Vera& config, const MethodInput& input)
      : AdapterMethod(input, plan_of(config)) {
    std::int64_t widest = 0;
    std::int64_t tallest = 0;
    for (const LinearAdapters::Target& target : adapters_.targets()) {
      const Shape& shape = input.base.set->tensor(target.base).shape;
      tallest = std::max(tallest, shape[0]);
      widest = std::max(widest, shape[1]);
    }
    const LogicalTensor a = named("vera/A", plan_.rank, widest);
    const LogicalTensor b = named("vera/B", tallest, plan_.rank);
    const std::int64_t count = a.shape.num_elements() + b.shape.num_elements();
    const DType dtype = input.base.set->dtype();
    memory_ = AlignedBuffer(static_cast<std::size_t>(count) * dtype_size(dtype));
    const TensorView values(memory_.data(), dtype, Shape{count});
    fill_matrices(input.seed, a, b, values);
    const TensorView of_b(values.as<std::byte>() +
                              static_cast<std::size_t>(a.shape.num_elements()) * dtype_size(dtype),
                          dtype, b.shape);
    adapters_.bind_scaled(*input.base.set, TensorView(memory_.data(), dtype, a.shape), of_b);
    if (input.is_fresh) {
      start(config.initial_d());
    }
  }

  [[nodiscard]] std::size_t seeded_bytes() const override { return memory_.size_bytes(); }

 private:
  void start(double initial_d) {
    ParameterSet& set = adapters_.parameters();
    for (const LinearAdapters::Target& target : adapters_.targets()) {
      const std::vector<double> values(static_cast<std::size_t>(plan_.rank), initial_d);
      fill_part(values, set.tensor(target.d), set.part(target.d), set.view(target.d));
    }
  }

  AlignedBuffer memory_;  // A [r, widest], then B [tallest, r]
};

}  // namespace

VeraMatrices vera_matrices(std::int64_t seed, std::int64_t rank, std::int64_t widest,
                           std::int64_t tallest) {
  const LogicalTensor a = named("vera/A", rank, widest);
  const LogicalTensor b = named("vera/B", tallest, rank);
  std::vector<double> both(
      static_cast<std::size_t>(a.shape.num_elements() + b.shape.num_elements()));
  fill_matrices(seed, a, b, TensorView(both.data(), DType::kF64, Shape{std::ssize(both)}));
  const auto cut = both.begin() + a.shape.num_elements();
  return {{both.begin(), cut}, {cut, both.end()}};
}

std::unique_ptr<Method> make_vera(const config::Vera& config, const MethodInput& input) {
  return std::make_unique<VeraMethod>(config, input);
}

}  // namespace finescale
