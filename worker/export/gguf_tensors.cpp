// SPDX-License-Identifier: Apache-2.0
#include "worker/export/gguf_tensors.h"

#include <algorithm>
#include <optional>

#include "configs/decoder.h"
#include "configs/tensor_names.h"
#include "core/error.h"
#include "worker/import/gguf_rope.h"

namespace finescale {

namespace {

// A logical tensor and where its rows lie in the tensor of the file.
struct Part {
  std::string name;
  std::int64_t rows = 0;
  FileTensor place;
};

// One tensor of the file: one logical tensor, or several that are packed.
struct PackedTensor {
  std::vector<Part> parts;
  std::int64_t columns = 0;  // 1 for a vector
  bool vector = false;

  [[nodiscard]] const FileTensor& place() const { return parts.front().place; }
};

// Row of the logical tensor that lies in `file_row`; nothing when another part's does.
std::optional<std::int64_t> logical_row(const Part& part, std::int64_t file_row) {
  const FileTensor& place = part.place;
  const std::int64_t inside = file_row - place.first_row;
  if (inside < 0) {
    return std::nullopt;
  }
  const std::int64_t index = place.stride == 0 ? 0 : inside / place.stride;
  const std::int64_t rest = inside - index * place.stride;
  const std::int64_t row = index * place.block + rest;
  if (rest >= place.block || row >= part.rows) {
    return std::nullopt;
  }
  if (place.rotary_heads == 0) {
    return row;
  }
  // (head, i, half) in the file, (head, half, i) in ours.
  const std::int64_t head_rows = part.rows / place.rotary_heads;
  const std::int64_t in_head = row % head_rows;
  return row - in_head + in_head % 2 * (head_rows / 2) + in_head / 2;
}

// Elements of a logical tensor that follow each other in the file too.
struct Run {
  const Part* part = nullptr;
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

Run run_at(const PackedTensor& packed, std::int64_t element, std::int64_t end) {
  const std::int64_t file_row = element / packed.columns;
  const std::int64_t column = element % packed.columns;
  const std::int64_t count = std::min(packed.columns - column, end - element);
  for (const Part& part : packed.parts) {
    if (const auto row = logical_row(part, file_row)) {
      const std::int64_t begin = *row * packed.columns + column;
      return {&part, begin, begin + count};
    }
  }
  throw Error(ErrorKind::kInternal,
              "no tensor fills row " + std::to_string(file_row) + " of " + packed.place().name);
}

void read_run(const PackedTensor& packed, const Run& run, WeightSource& weights, float* to) {
  const LocalPart all = packed.vector
                            ? LocalPart{Shape{0}, Shape{run.part->rows}}
                            : LocalPart{Shape{0, 0}, Shape{run.part->rows, packed.columns}};
  for (const LocalPart& slab : hyperslabs_of(all, run.begin, run.end)) {
    const std::int64_t count = slab.shape.num_elements();
    weights.read(run.part->name, slab, TensorView(to, DType::kF32, {count}));
    to += count;
  }
}

void fill_range(const PackedTensor& packed, WeightSource& weights, std::int64_t begin,
                std::int64_t end, const TensorView& out) {
  float* to = out.as<float>();
  for (std::int64_t at = begin; at < end;) {
    Run run = run_at(packed, at, end);
    at += run.end - run.begin;
    while (at < end) {  // as far as the rows follow each other
      const Run next = run_at(packed, at, end);
      if (next.part != run.part || next.begin != run.end) {
        break;
      }
      run.end = next.end;
      at += next.end - next.begin;
    }
    const std::int64_t count = run.end - run.begin;
    read_run(packed, run, weights, to);
    const auto addend = static_cast<float>(run.part->place.addend);
    if (addend != 0) {
      std::for_each(to, to + count, [addend](float& value) { value -= addend; });
    }
    to += count;
  }
}

std::vector<PackedTensor> packed_tensors(const config::ModelConfig& config) {
  std::vector<PackedTensor> all;
  for (const LogicalShape& tensor : logical_tensors(decoder_shape(config))) {
    const FileTensor place = gguf_tensor(config, tensor.name);
    auto found = std::find_if(all.begin(), all.end(),
                              [&](const PackedTensor& p) { return p.place().name == place.name; });
    if (found == all.end()) {
      all.push_back({{}, std::max<std::int64_t>(1, tensor.columns), tensor.columns == 0});
      found = all.end() - 1;
    }
    found->parts.push_back({tensor.name, tensor.rows, place});
  }
  return all;
}

// Learned positions are added to activations: readers expect them in full precision.
GgufType type_of(const PackedTensor& packed, GgufType wanted) {
  if (packed.vector || packed.place().name == "position_embd.weight") {
    return GgufType::kF32;
  }
  return packed.columns % gguf_type_info(wanted).block_elements == 0 ? wanted : GgufType::kF16;
}

}  // namespace

std::vector<GgufSource> gguf_tensors(const config::ModelConfig& config, GgufType type,
                                     WeightSource& weights) {
  std::vector<GgufSource> all;
  for (PackedTensor& packed : packed_tensors(config)) {
    GgufSource source;
    source.name = packed.place().name;
    const std::int64_t rows = packed.place().file_rows;
    source.shape = packed.vector ? Shape{rows} : Shape{rows, packed.columns};
    source.type = type_of(packed, type);
    source.fill = [packed = std::move(packed), &weights](std::int64_t begin, std::int64_t end,
                                                         const TensorView& out) {
      fill_range(packed, weights, begin, end, out);
    };
    all.push_back(std::move(source));
  }
  const std::vector<float> factors = gguf_rope_factors(config);
  if (!factors.empty()) {
    GgufSource source;
    source.name = kGgufRopeFactors;
    source.shape = Shape{static_cast<std::int64_t>(factors.size())};
    source.fill = [factors](std::int64_t begin, std::int64_t end, const TensorView& out) {
      std::copy(factors.begin() + begin, factors.begin() + end, out.as<float>());
    };
    all.push_back(std::move(source));
  }
  return all;
}

}  // namespace finescale
