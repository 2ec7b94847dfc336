// SPDX-License-Identifier: Apache-2.0
// Logical tensors under the names and in the orientation of the family's files.
#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "configs/decoder.h"
#include "configs/tensor_names.h"
#include "core/error.h"
#include "core/tensor_element.h"
#include "worker/export/hf_files.h"

namespace finescale {

namespace {

// A tensor of the files and the logical ones that it is made of.
struct JoinedTensor {
  struct Part {
    std::string name;
    FileTensor place;
    std::int64_t rows = 0;
  };
  std::vector<Part> parts;
  std::int64_t rows = 0;     // before transposing
  std::int64_t columns = 0;  // 0: a vector
  bool transposed = false;
};

class FileTensorReader {
 public:
  FileTensorReader(WeightSource& source, JoinedTensor packed)
      : source_(&source), packed_(std::move(packed)) {}

  void read(std::int64_t begin, std::int64_t end, const TensorView& out) {
    if (is_plain()) {
      return read_plain(begin, end, out);
    }
    make_whole();
    for (std::int64_t i = begin; i < end; ++i) {
      const double value = whole_[static_cast<std::size_t>(i)];
      set_element(out, i - begin, value);
    }
    if (end == packed_.rows * width()) {
      whole_ = {};  // front to back: it was the last
    }
  }

 private:
  [[nodiscard]] std::int64_t width() const { return std::max<std::int64_t>(1, packed_.columns); }
  [[nodiscard]] bool is_plain() const { return !packed_.transposed && packed_.parts.size() == 1; }
  [[nodiscard]] LocalPart whole_rows(std::int64_t first, std::int64_t last) const {
    return packed_.columns == 0 ? LocalPart{Shape{first}, Shape{last - first}}
                                : LocalPart{Shape{first, 0}, Shape{last - first, packed_.columns}};
  }

  void read_plain(std::int64_t begin, std::int64_t end, const TensorView& out) {
    const LocalPart all = whole_rows(0, packed_.rows);
    std::int64_t at = 0;
    for (const LocalPart& slab : hyperslabs_of(all, begin, end)) {
      auto* const target = out.as<char>() + at * static_cast<std::int64_t>(dtype_size(out.dtype));
      const std::int64_t count = slab.shape.num_elements();
      source_->read(packed_.parts.front().name, slab, {target, out.dtype, Shape{count}});
      at += count;
    }
  }

  // Families that pack or transpose have small matrices: one at a time is held whole.
  void make_whole() {
    if (!whole_.empty()) {
      return;
    }
    whole_.resize(static_cast<std::size_t>(packed_.rows * width()));
    std::vector<double> rows;
    for (const JoinedTensor::Part& part : packed_.parts) {
      rows.resize(static_cast<std::size_t>(part.rows * width()));
      source_->read(part.name, whole_rows(0, part.rows),
                    {rows.data(), DType::kF64, Shape{part.rows * width()}});
      for (std::int64_t row = 0; row < part.rows; ++row) {
        const std::int64_t to = part.place.first_row + row / part.place.block * part.place.stride +
                                row % part.place.block;
        for (std::int64_t column = 0; column < width(); ++column) {
          const std::int64_t at =
              packed_.transposed ? column * packed_.rows + to : to * width() + column;
          whole_[static_cast<std::size_t>(at)] =
              rows[static_cast<std::size_t>(row * width() + column)];
        }
      }
    }
  }

  WeightSource* source_;
  JoinedTensor packed_;
  std::vector<double> whole_;
};

}  // namespace

std::vector<TensorToWrite> hf_tensors(WeightSource& source) {
  std::map<std::string, std::size_t> index;
  std::vector<std::pair<std::string, JoinedTensor>> all;  // in the order of the layers
  for (const LogicalShape& tensor : logical_tensors(decoder_shape(source.config()))) {
    const FileTensor place = hf_tensor(source.config(), tensor.name);
    const auto [found, is_new] = index.emplace(place.name, all.size());
    if (is_new) {
      all.emplace_back(place.name,
                       JoinedTensor{{}, place.file_rows, tensor.columns, place.transposed});
    }
    all[found->second].second.parts.push_back({tensor.name, place, tensor.rows});
  }
  std::vector<TensorToWrite> tensors;
  for (auto& [name, packed] : all) {
    Shape shape{packed.rows};
    if (packed.columns > 0) {
      shape = packed.transposed ? Shape{packed.columns, packed.rows}
                                : Shape{packed.rows, packed.columns};
    }
    // shared_ptr: std::function must be copyable, and the reader is one per tensor.
    const auto reader = std::make_shared<FileTensorReader>(source, std::move(packed));
    tensors.push_back(
        {name, shape, [reader](std::int64_t begin, std::int64_t end, const TensorView& out) {
           reader->read(begin, end, out);
         }});
  }
  return tensors;
}

}  // namespace finescale
