// SPDX-License-Identifier: Apache-2.0
// DoRA (Liu et al. 2024): rows of W + s B A are brought to lengths of their own, y = x W'^T with
// W' = m (W + s B A) / |W + s B A|, lengths by row. m starts as the rows' lengths. As in
// section 4.3 of the paper and in PEFT no gradient goes through the length in the denominator; it
// is made anew after every update.
#include <cmath>

#include "core/tensor_element.h"
#include "kernels/gemm.h"
#include "sharding/ordered_reduce.h"
#include "worker/methods/adapter_method.h"

namespace finescale {

namespace {

AdapterPlan plan_of(const config::Dora& config) {
  AdapterPlan plan;
  plan.method = "dora";
  plan.modules = names_of(config.target_modules());
  plan.rank = config.rank();
  plan.scale = dora_scale(config);
  plan.factor_name = "M";
  return plan;
}

class DoraMethod final : public AdapterMethod {
 public:
  DoraMethod(const config::Dora& config, const MethodInput& input)
      : AdapterMethod(input, plan_of(config)), base_(input.base) {
    make_room();
    base_.for_each(adapters_.bases(), [&, next = std::size_t{0}](int index) mutable {
      add_row_squares(base_.value(index), rows_[next++]);
    });
    if (input.is_fresh) {
      fill_a(input.seed);
      std::vector<double> whole = squares_;
      sum_over_inputs(whole);
      for (const Rows& rows : rows_) {
        const TensorView m = adapters_.parameters().view(rows.target->factor);
        for (std::int64_t row = 0; row < rows.count; ++row) {
          set_element(m, row, std::sqrt(whole[static_cast<std::size_t>(rows.begin + row)]));
        }
      }
    }
    values_changed();
  }

  // |W + s B A|^2 of a row = |W|^2 + 2 s B (W A^T) + s^2 B (A A^T) B^T, a sum over W's columns.
  void values_changed() override {
    std::vector<double> squares = squares_;
    base_.for_each(adapters_.bases(), [&, next = std::size_t{0}](int index) mutable {
      add_change(base_.value(index), rows_[next++], squares);
    });
    sum_over_inputs(squares);
    for (const Rows& rows : rows_) {
      for (std::int64_t row = 0; row < rows.count; ++row) {
        set_element(rows.target->factors->constant, row,
                    1 / std::sqrt(squares[static_cast<std::size_t>(rows.begin + row)]));
      }
    }
  }

 private:
  struct Rows {  // of one matrix
    const LinearAdapters::Target* target;
    std::int64_t begin, count;  // in lists over all matrices
    bool is_sum;                // of the ranks that share its columns
  };

  void make_room() {
    const DType dtype = base_.set->dtype();
    std::int64_t count = 0;
    std::int64_t most = 0;
    for (const LinearAdapters::Target& target : adapters_.targets()) {
      const Placement& placement = base_.set->tensor(target.base).placement;
      const std::int64_t rows = base_.set->local_shape(target.base)[0];
      rows_.push_back(
          {&target, count, rows, placement.kind == Placement::Kind::kSplit && placement.dim == 1});
      count += rows;
      most = std::max(most, rows);
    }
    squares_.resize(static_cast<std::size_t>(count));
    inverse_ = AlignedBuffer(static_cast<std::size_t>(count) * dtype_size(dtype));
    scratch_ = AlignedBuffer(static_cast<std::size_t>((most + plan_.rank) * plan_.rank) *
                             dtype_size(dtype));
    for (const Rows& rows : rows_) {
      rows.target->factors->constant =
          TensorView(static_cast<std::byte*>(inverse_.data()) +
                         static_cast<std::size_t>(rows.begin) * dtype_size(dtype),
                     dtype, Shape{rows.count});
    }
  }

  void add_row_squares(const TensorView& w, const Rows& rows) {
    for (std::int64_t row = 0; row < rows.count; ++row) {
      double sum = 0;
      for (std::int64_t c = 0; c < w.cols(); ++c) {
        const double value = element(w, row * w.cols() + c);
        sum += value * value;
      }
      squares_[static_cast<std::size_t>(rows.begin + row)] = sum;
    }
  }

  void add_change(const TensorView& w, const Rows& rows, std::vector<double>& squares) const {
    const std::int64_t r = plan_.rank;
    const TensorView a = adapters_.value(rows.target->a);
    const TensorView b = adapters_.value(rows.target->b);
    const TensorView wa(scratch_.data(), w.dtype, Shape{rows.count, r});
    const TensorView aa(wa.as<std::byte>() + wa.size_bytes(), w.dtype, Shape{r, r});
    gemm(Stream(), Transpose::kNo, Transpose::kYes, 1, w, a, 0, wa);
    gemm(Stream(), Transpose::kNo, Transpose::kYes, 1, a, a, 0, aa);
    for (std::int64_t row = 0; row < rows.count; ++row) {
      double sum = 0;
      for (std::int64_t i = 0; i < r; ++i) {
        double inner = 2 * plan_.scale * element(wa, row * r + i);
        for (std::int64_t j = 0; j < r; ++j) {
          inner += plan_.scale * plan_.scale * element(aa, i * r + j) * element(b, row * r + j);
        }
        sum += inner * element(b, row * r + i);
      }
      squares[static_cast<std::size_t>(rows.begin + row)] += sum;
    }
  }

  // Collective over the tensor group.
  void sum_over_inputs(std::vector<double>& squares) const {
    if (base_.tensor == nullptr) {
      return;
    }
    std::vector<double> sums;
    const auto each = [&](auto&& visit) {
      for (const Rows& rows : rows_) {
        for (std::int64_t row = 0; rows.is_sum && row < rows.count; ++row) {
          visit(squares[static_cast<std::size_t>(rows.begin + row)]);
        }
      }
    };
    each([&](double& value) { sums.push_back(value); });
    if (sums.empty()) {
      return;
    }
    ordered_all_reduce(*base_.tensor, TensorView(sums.data(), DType::kF64, {std::ssize(sums)}));
    each([&, next = std::size_t{0}](double& value) mutable { value = sums[next++]; });
  }

  BaseWeights base_;
  std::vector<Rows> rows_;
  std::vector<double> squares_;  // of this rank's columns of W, by row
  AlignedBuffer inverse_;        // 1 / |W + s B A|, by row
  AlignedBuffer scratch_;
};

}  // namespace

double dora_scale(const config::Dora& config) {
  return config.alpha() / config.rank();
}

std::unique_ptr<Method> make_dora(const config::Dora& config, const MethodInput& input) {
  return std::make_unique<DoraMethod>(config, input);
}

}  // namespace finescale
