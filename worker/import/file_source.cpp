// SPDX-License-Identifier: Apache-2.0
// Logical tensors from the files of other programs: other names, packed projections, transposed
// matrices, rows in another order.
#include <algorithm>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "configs/decoder.h"
#include "core/error.h"
#include "core/tensor_element.h"
#include "worker/import/weight_source.h"

namespace finescale {

namespace {

struct Located {
  FileTensor place;
  const FileTensorInfo* info = nullptr;
  std::int64_t rows = 0;     // of ours
  std::int64_t columns = 1;  // a vector has rows of one element

  // The file's row that holds our row.
  [[nodiscard]] std::int64_t file_row(std::int64_t row) const {
    if (place.rotary_heads > 0) {  // (h, half, i) of ours is (h, i, half) of the file
      const std::int64_t width = rows / place.rotary_heads;
      const std::int64_t in_head = row % width;
      const std::int64_t half = in_head / (width / 2);
      row = row - in_head + 2 * (in_head % (width / 2)) + half;
    }
    return place.first_row + row / place.block * place.stride + row % place.block;
  }
};

class FileSource final : public WeightSource {
 public:
  FileSource(std::unique_ptr<TensorFile> file, const config::ModelConfig& config, TensorNames names,
             const std::vector<std::string>& ignored)
      : file_(std::move(file)), config_(config) {
    std::set<const FileTensorInfo*> used;
    for (const LogicalShape& tensor : logical_tensors(decoder_shape(config))) {
      used.insert(locate(tensor, names(config, tensor.name)).info);
    }
    for (const FileTensorInfo& info : file_->tensors()) {
      const bool is_known = used.contains(&info) ||
                            std::any_of(ignored.begin(), ignored.end(),
                                        [&](const auto& end) { return info.name.ends_with(end); });
      if (!is_known) {
        throw Error(ErrorKind::kData,
                    "tensor " + info.name + " " + info.shape.text() +
                        " is no weight of the model that the config describes",
                    file_->path(), "does config.json belong to these weights?");
      }
    }
  }

  [[nodiscard]] const config::ModelConfig& config() const override { return config_; }

  void read(const std::string& name, const LocalPart& slab, const TensorView& out) override {
    const auto found = located_.find(name);
    FS_CHECK(found != located_.end(), "no tensor " + name);
    const Located& tensor = found->second;
    const std::int64_t columns = slab.shape.rank > 1 ? slab.shape[1] : 1;
    const std::int64_t first_column = slab.shape.rank > 1 ? slab.offset[1] : 0;
    const std::int64_t end = slab.offset[0] + slab.shape[0];
    for (std::int64_t row = slab.offset[0]; row < end;) {
      std::int64_t run = 1;
      const std::int64_t file_row = tensor.file_row(row);
      while (row + run < end && tensor.file_row(row + run) == file_row + run) {
        ++run;
      }
      const TensorView part = rows_of(out, row - slab.offset[0], run, columns);
      tensor.place.transposed ? read_transposed(tensor, file_row, first_column, part)
                              : read_plain(tensor, file_row, first_column, part);
      row += run;
    }
    add(tensor.place.addend, out);
  }

  [[nodiscard]] bool is_bf16(const std::string& name) const override {
    const auto found = located_.find(name);
    return found != located_.end() && found->second.info->dtype == "BF16" &&
           found->second.place.addend == 0;
  }

 private:
  const Located& locate(const LogicalShape& tensor, FileTensor place) {
    Located located;
    located.info = file_->find(place.name);
    for (const std::string& other : place.also) {
      located.info = located.info != nullptr ? located.info : file_->find(other);
    }
    if (located.info == nullptr) {
      throw Error(ErrorKind::kData, "tensor " + place.name + " is missing", file_->path(),
                  "get the model's files again");
    }
    located.rows = tensor.rows;
    located.columns = std::max<std::int64_t>(1, tensor.columns);
    Shape wanted{place.file_rows};
    if (tensor.columns > 0) {
      wanted = place.transposed ? Shape{tensor.columns, place.file_rows}
                                : Shape{place.file_rows, tensor.columns};
    }
    if (!(located.info->shape == wanted)) {
      throw Error(ErrorKind::kData,
                  "tensor " + located.info->name + " is " + located.info->shape.text() +
                      ", the config needs " + wanted.text(),
                  file_->path(), "does config.json belong to these weights?");
    }
    located.place = std::move(place);
    return located_.emplace(tensor.name, std::move(located)).first->second;
  }

  // Rows [first, first + count) of a slab's values, as a dense matrix.
  static TensorView rows_of(const TensorView& out, std::int64_t first, std::int64_t count,
                            std::int64_t columns) {
    auto* const begin =
        out.as<char>() + first * columns * static_cast<std::int64_t>(dtype_size(out.dtype));
    return {begin, out.dtype, Shape{count, columns}};
  }

  void read_plain(const Located& tensor, std::int64_t file_row, std::int64_t first_column,
                  const TensorView& out) const {
    if (out.cols() == tensor.columns) {
      const std::int64_t begin = file_row * tensor.columns;
      return file_->read(*tensor.info, begin, begin + out.num_elements(),
                         {out.data, out.dtype, Shape{out.num_elements()}});
    }
    for (std::int64_t row = 0; row < out.rows(); ++row) {
      const std::int64_t begin = (file_row + row) * tensor.columns + first_column;
      const TensorView target = rows_of(out, row, 1, out.cols());
      file_->read(*tensor.info, begin, begin + out.cols(),
                  {target.data, out.dtype, Shape{out.cols()}});
    }
  }

  // The file holds [in, out]: a column of ours is a piece of one of its rows.
  void read_transposed(const Located& tensor, std::int64_t file_row, std::int64_t first_column,
                       const TensorView& out) {
    column_.resize(static_cast<std::size_t>(out.rows()));
    for (std::int64_t column = 0; column < out.cols(); ++column) {
      const std::int64_t begin = (first_column + column) * tensor.place.file_rows + file_row;
      file_->read(*tensor.info, begin, begin + out.rows(),
                  {column_.data(), DType::kF64, Shape{out.rows()}});
      for (std::int64_t row = 0; row < out.rows(); ++row) {
        const double value = column_[static_cast<std::size_t>(row)];
        const std::int64_t at = row * out.cols() + column;
        set_element(out, at, value);
      }
    }
  }

  static void add(double addend, const TensorView& out) {
    if (addend == 0) {
      return;
    }
    for (std::int64_t i = 0; i < out.num_elements(); ++i) {
      if (out.dtype == DType::kF64) {
        out.as<double>()[i] += addend;
      } else {
        out.as<float>()[i] += static_cast<float>(addend);
      }
    }
  }

  std::unique_ptr<TensorFile> file_;
  config::ModelConfig config_;
  std::unordered_map<std::string, Located> located_;
  std::vector<double> column_;
};

}  // namespace

std::unique_ptr<WeightSource> make_file_source(std::unique_ptr<TensorFile> file,
                                               const config::ModelConfig& config, TensorNames names,
                                               const std::vector<std::string>& ignored) {
  return std::make_unique<FileSource>(std::move(file), config, names, ignored);
}

}  // namespace finescale
