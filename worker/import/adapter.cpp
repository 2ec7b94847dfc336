// SPDX-License-Identifier: Apache-2.0
#include "worker/import/adapter.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "checkpoint/checkpoint.h"
#include "comm/group.h"
#include "configs/canonical.h"
#include "configs/decoder.h"
#include "core/error.h"

namespace finescale {

namespace {

std::string without(const std::string& name, std::string_view end) {
  return name.ends_with(end) ? name.substr(0, name.size() - end.size()) : std::string();
}

double at(const TensorView& view, std::int64_t index) {
  return view.dtype == DType::kF64 ? view.as<double>()[index]
                                   : static_cast<double>(view.as<float>()[index]);
}

void put(const TensorView& view, std::int64_t index, double value) {
  view.dtype == DType::kF64 ? view.as<double>()[index] = value
                            : view.as<float>()[index] = static_cast<float>(value);
}

class MergedSource final : public WeightSource {
 public:
  MergedSource(std::unique_ptr<WeightSource> base, Adapter adapter)
      : base_(std::move(base)), adapter_(std::move(adapter)) {
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

  void read(const std::string& name, const LocalPart& slab, const TensorView& out) override {
    base_->read(name, slab, out);
    if (const auto bias = adapter_.modules.find(without(name, ".bias"));
        bias != adapter_.modules.end() && !bias->second.outputs.empty()) {
      for (std::int64_t i = 0; i < slab.shape[0]; ++i) {
        put(out, i,
            at(out, i) * bias->second.outputs[static_cast<std::size_t>(slab.offset[0] + i)]);
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
      values_[static_cast<std::size_t>(i)] = at(out, i);
    }
    add_low_rank(change, row, first, values_);
    for (std::int64_t i = 0; i < count; ++i) {
      const double input =
          change.inputs.empty() ? 1 : change.inputs[static_cast<std::size_t>(first + i)];
      put(out, i, values_[static_cast<std::size_t>(i)] * factor * input);
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
  wanted.part = {Shape{0, 0}, tensor.shape};
  wanted.local = TensorView(values.data(), DType::kF64, tensor.shape);
  wanted.writes = false;
  reader.read({wanted});
  return values;
}

}  // namespace

bool Adapter::is_plain_lora() const {
  return std::all_of(modules.begin(), modules.end(), [](const auto& module) {
    const ModuleChange& change = module.second;
    return change.rank > 0 && change.magnitude.empty() && change.outputs.empty() &&
           change.inputs.empty();
  });
}

Adapter read_own_adapter(const std::string& checkpoint) {
  const auto group = make_single_group();
  CheckpointReader reader(*group, checkpoint);
  config::StageSpec made_by;
  parse_canonical(reader.state().stage_text, made_by);
  const config::Method& method = made_by.train().train().method();
  FS_CHECK(method.has_lora(), "adapters of this version are LoRA's");
  Adapter adapter;
  for (const LogicalTensor& tensor : reader.tensors("/adapter")) {
    if (const std::string a = without(tensor.name, "/A"); !a.empty()) {
      ModuleChange& change = adapter.modules[a];
      change.rank = static_cast<int>(tensor.shape[0]);
      change.scale = method.lora().alpha() / method.lora().rank();
      change.a = read_whole(reader, tensor);
    } else if (const std::string b = without(tensor.name, "/B"); !b.empty()) {
      adapter.modules[b].b = read_whole(reader, tensor);
    }
  }
  return adapter;
}

std::unique_ptr<WeightSource> with_adapter(std::unique_ptr<WeightSource> base, Adapter adapter) {
  return std::make_unique<MergedSource>(std::move(base), std::move(adapter));
}

}  // namespace finescale
