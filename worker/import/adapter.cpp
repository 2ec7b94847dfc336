// SPDX-License-Identifier: Apache-2.0
#include "worker/import/adapter.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "checkpoint/checkpoint.h"
#include "comm/group.h"
#include "configs/canonical.h"
#include "configs/decoder.h"
#include "configs/method_rules.h"
#include "core/error.h"
#include "core/tensor_element.h"
#include "worker/methods/method.h"

namespace finescale {

namespace {

std::string without(const std::string& name, std::string_view end) {
  return name.ends_with(end) ? name.substr(0, name.size() - end.size()) : std::string();
}

class MergedSource final : public WeightSource {
 public:
  MergedSource(std::unique_ptr<WeightSource> base, Adapter adapter)
      : base_(std::move(base)), adapter_(std::move(adapter)) {
    if (!adapter_.why_apart.empty()) {
      throw Error(
          ErrorKind::kConfig, adapter_.why_apart + ": it cannot be merged", {},
          "generate, chat, score and the stages of a sweep use it as it is; export --format "
          "hdf5 keeps it");
    }
    for (const LogicalShape& tensor : logical_tensors(decoder_shape(base_->config()))) {
      columns_[tensor.name] = tensor.columns;
    }
    for (const auto& [module, change] : adapter_.modules) {
      if (!columns_.contains(module + ".weight")) {
        throw Error(ErrorKind::kData, "the adapter changes " + module + ", which the model lacks");
      }
    }
  }

  [[nodiscard]] const config::ModelConfig& config() const override { return base_->config(); }

  [[nodiscard]] bool is_bf16(const std::string& name) const override {
    return base_->is_bf16(name) && !adapter_.modules.contains(without(name, ".weight"));
  }

  void read(const std::string& name, const LocalPart& slab, const TensorView& out) override {
    base_->read(name, slab, out);
    if (const auto bias = adapter_.modules.find(without(name, ".bias"));
        bias != adapter_.modules.end() && !bias->second.outputs.empty()) {
      for (std::int64_t i = 0; i < slab.shape[0]; ++i) {
        set_element(
            out, i,
            element(out, i) * bias->second.outputs[static_cast<std::size_t>(slab.offset[0] + i)]);
      }
    }
    const auto found = adapter_.modules.find(without(name, ".weight"));
    if (found == adapter_.modules.end()) {
      return;
    }
    const std::int64_t columns = slab.shape[1];
    for (std::int64_t row = 0; row < slab.shape[0]; ++row) {
      change_row(found->second, name, slab.offset[0] + row, slab.offset[1],
                 TensorView(out.as<char>() +
                                row * columns * static_cast<std::int64_t>(dtype_size(out.dtype)),
                            out.dtype, Shape{columns}));
    }
  }

 private:
  // Columns [first, first + n) of a row of the matrix, n elements of out.
  void change_row(const ModuleChange& change, const std::string& name, std::int64_t row,
                  std::int64_t first, const TensorView& out) {
    const std::int64_t count = out.shape[0];
    double factor = change.outputs.empty() ? 1 : change.outputs[static_cast<std::size_t>(row)];
    if (!change.magnitude.empty()) {
      // The length is that of the whole row, of which this rank may want a part.
      const std::int64_t all = columns_.at(name);
      row_.resize(static_cast<std::size_t>(all));
      base_->read(name, {Shape{row, 0}, Shape{1, all}}, {row_.data(), DType::kF64, Shape{all}});
      add_low_rank(change, row, 0, row_);
      double squares = 0;
      for (const double value : row_) {
        squares += value * value;
      }
      factor *= change.magnitude[static_cast<std::size_t>(row)] / std::sqrt(squares);
    }
    values_.resize(static_cast<std::size_t>(count));
    for (std::int64_t i = 0; i < count; ++i) {
      values_[static_cast<std::size_t>(i)] = element(out, i);
    }
    add_low_rank(change, row, first, values_);
    for (std::int64_t i = 0; i < count; ++i) {
      const double input =
          change.inputs.empty() ? 1 : change.inputs[static_cast<std::size_t>(first + i)];
      set_element(out, i, values_[static_cast<std::size_t>(i)] * factor * input);
    }
  }

  static void add_low_rank(const ModuleChange& change, std::int64_t row, std::int64_t first,
                           std::vector<double>& values) {
    if (change.rank == 0) {
      return;
    }
    const std::int64_t columns = std::ssize(change.a) / change.rank;
    for (std::int64_t k = 0; k < change.rank; ++k) {
      const double b = change.scale * change.b[static_cast<std::size_t>(row * change.rank + k)];
      const double* a = change.a.data() + k * columns + first;
      for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] += b * a[i];
      }
    }
  }

  std::unique_ptr<WeightSource> base_;
  Adapter adapter_;
  std::map<std::string, std::int64_t> columns_;  // of the model's tensors
  std::vector<double> row_;
  std::vector<double> values_;
};

std::vector<double> read_whole(CheckpointReader& reader, const LogicalTensor& tensor) {
  std::vector<double> values(static_cast<std::size_t>(tensor.shape.num_elements()));
  CheckpointTensor wanted;
  wanted.path = "/adapter/" + tensor.name;
  wanted.shape = tensor.shape;
  wanted.part = {tensor.shape, tensor.shape};  // matrices and vectors
  wanted.part.offset.dims = {};
  wanted.local = TensorView(values.data(), DType::kF64, tensor.shape);
  wanted.writes = false;
  reader.read({wanted});
  return values;
}

}  // namespace

namespace {

// a, b, then another branch of the same rank, as one of twice the rank: b' = -b.
void subtract_branch(ModuleChange& change, const std::vector<double>& a,
                     const std::vector<double>& b) {
  const auto rank = static_cast<std::size_t>(change.rank);
  const std::size_t rows = change.b.size() / rank;
  std::vector<double> both(2 * change.b.size());
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t k = 0; k < rank; ++k) {
      both[row * 2 * rank + k] = change.b[row * rank + k];
      both[row * 2 * rank + rank + k] = -b[row * rank + k];
    }
  }
  change.b = std::move(both);
  change.a.insert(change.a.end(), a.begin(), a.end());
  change.rank *= 2;
}

void set_vera(ModuleChange& change, std::int64_t columns, const std::vector<double>& a,
              const std::vector<double>& b) {
  const std::int64_t rank = std::ssize(change.inner);
  const std::int64_t rows = std::ssize(change.outer);
  const std::int64_t widest = std::ssize(a) / rank;
  change.rank = static_cast<int>(rank);
  change.a.clear();
  for (std::int64_t k = 0; k < rank; ++k) {
    change.a.insert(change.a.end(), a.begin() + k * widest, a.begin() + k * widest + columns);
  }
  change.b.assign(b.begin(), b.begin() + rows * rank);
  for (std::int64_t i = 0; i < rows * rank; ++i) {
    change.b[static_cast<std::size_t>(i)] *= change.outer[static_cast<std::size_t>(i / rank)] *
                                             change.inner[static_cast<std::size_t>(i % rank)];
  }
}

// The random matrices of our seed, as wide as its modules need.
void add_vera(const config::TrainSpec& made_by, const config::ModelConfig& model,
              Adapter& adapter) {
  std::int64_t widest = 0;
  std::int64_t tallest = 0;
  std::map<std::string, std::int64_t> columns;
  for (const LogicalShape& tensor : logical_tensors(decoder_shape(model))) {
    const std::string module = without(tensor.name, ".weight");
    if (adapter.modules.contains(module)) {
      columns[module] = tensor.columns;
      widest = std::max(widest, tensor.columns);
      tallest = std::max(tallest, tensor.rows);
    }
  }
  VeraMatrices random =
      vera_matrices(made_by.seed(), made_by.train().method().vera().rank(), widest, tallest);
  for (auto& [module, change] : adapter.modules) {
    set_vera(change, columns.at(module), random.a, random.b);
  }
  adapter.vera_a = std::move(random.a);
  adapter.vera_b = std::move(random.b);
}

using Parts = std::map<std::string, WholeTensor>;  // of a module: A, B, ...

// scale: of the low-rank part.
ModuleChange change_of(const std::string& module, Parts& parts, double scale) {
  ModuleChange change;
  const auto take = [&parts](const char* name, std::vector<double>& values) {
    if (const auto found = parts.find(name); found != parts.end()) {
      values = std::move(found->second.values);
      parts.erase(found);
    }
  };
  if (const auto a = parts.find("A"); a != parts.end()) {
    change.rank = static_cast<int>(a->second.shape[0]);
    change.scale = scale;
  }
  std::vector<double> frozen_a;
  std::vector<double> frozen_b;
  take("A", change.a);
  take("B", change.b);
  take("A0", frozen_a);
  take("B0", frozen_b);
  take("M", change.magnitude);
  take("d", change.inner);
  take("b", change.outer);
  take("L", module.ends_with("down_proj") ? change.inputs : change.outputs);
  FS_CHECK(parts.empty(), "a tensor of the adapter of " + module + " that nobody reads");
  if (!frozen_a.empty()) {
    subtract_branch(change, frozen_a, frozen_b);
  }
  return change;
}

}  // namespace

std::string why_apart(const config::Method& method) {
  if (method.has_bottleneck()) {
    return "a bottleneck adapter is a network of its own, with an activation inside, and no change "
           "of a matrix";
  }
  return is_beside_weights(method) ? "virtual tokens are no change of a matrix" : "";
}

Adapter read_own_adapter(const std::string& checkpoint) {
  const auto group = make_single_group();
  CheckpointReader reader(*group, checkpoint);
  config::StageSpec made_by;
  parse_canonical(reader.state().stage_text, made_by);
  const config::Method& method = made_by.train().train().method();
  Adapter adapter;
  adapter.why_apart = why_apart(method);
  if (!adapter.why_apart.empty()) {
    adapter.method = method;
    for (const LogicalTensor& tensor : reader.tensors("/adapter")) {
      adapter.apart[tensor.name] = {tensor.shape, read_whole(reader, tensor)};
    }
    return adapter;
  }
  std::map<std::string, Parts> modules;
  for (const LogicalTensor& tensor : reader.tensors("/adapter")) {
    const std::size_t slash = tensor.name.rfind('/');
    modules[tensor.name.substr(0, slash)][tensor.name.substr(slash + 1)] = {
        tensor.shape, read_whole(reader, tensor)};
  }
  for (auto& [module, parts] : modules) {
    adapter.modules[module] = change_of(module, parts, adapter_scale(method));
  }
  if (method.has_vera()) {
    config::ModelConfig model;
    parse_canonical(reader.state().model_text, model);
    add_vera(made_by.train(), model, adapter);
  }
  return adapter;
}

std::unique_ptr<WeightSource> with_adapter(std::unique_ptr<WeightSource> base, Adapter adapter) {
  return std::make_unique<MergedSource>(std::move(base), std::move(adapter));
}

}  // namespace finescale
