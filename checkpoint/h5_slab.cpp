// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/h5_slab.h"

#include <algorithm>
#include <vector>

#include "checkpoint/h5.h"
#include "core/hash.h"

namespace finescale::h5 {

namespace {

// One MPI-IO transfer moves less than 2 GiB (HDF5 1.10: "can't convert from size to size_i").
constexpr std::int64_t kWriteBytes = std::int64_t{512} << 20;

Space select_part(hid_t dataset, const LocalPart& part) {
  Space space(H5_CHECK(H5Dget_space(dataset)));
  const std::vector<hsize_t> start(part.offset.dims.begin(),
                                   part.offset.dims.begin() + part.shape.rank);
  const std::vector<hsize_t> count(part.shape.dims.begin(),
                                   part.shape.dims.begin() + part.shape.rank);
  H5_CHECK(H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, start.data(), nullptr, count.data(),
                               nullptr));
  return space;
}

template <class From, class To>
void convert(const void* from, void* to, std::int64_t num_elements) {
  std::transform(static_cast<const From*>(from), static_cast<const From*>(from) + num_elements,
                 static_cast<To*>(to), [](From value) { return static_cast<To>(value); });
}

[[noreturn]] void fail(const CheckpointTensor& tensor, const std::string& what) {
  throw Error(ErrorKind::kCheckpoint, tensor.path + " " + what);
}

}  // namespace

bool is_whole(const CheckpointTensor& tensor) noexcept {
  return tensor.part.shape == tensor.shape;
}

void check_part(const CheckpointTensor& tensor) {
  FS_CHECK(tensor.path.starts_with('/') && tensor.shape.rank > 0, tensor.path + " has no shape");
  FS_CHECK(
      tensor.part.shape.rank == tensor.shape.rank && tensor.part.offset.rank == tensor.shape.rank,
      tensor.path + ": the part has another rank");
  for (int axis = 0; axis < tensor.shape.rank; ++axis) {
    FS_CHECK(tensor.part.offset[axis] >= 0 && tensor.part.shape[axis] >= 0 &&
                 tensor.part.offset[axis] + tensor.part.shape[axis] <= tensor.shape[axis],
             tensor.path + ": the part lies outside of " + tensor.shape.text());
  }
  FS_CHECK(
      tensor.local.is_dense() && tensor.local.num_elements() == tensor.part.shape.num_elements(),
      tensor.path + ": the memory does not hold the part");
}

void write_part(hid_t file, const CheckpointTensor& tensor) {
  if (tensor.part.shape.num_elements() == 0) {
    return;
  }
  const Dataset dataset(H5_CHECK(H5Dopen2(file, tensor.path.c_str(), H5P_DEFAULT)));
  // Blocks of the first axis that is longer than one: each is dense in memory.
  int axis = 0;
  while (axis + 1 < tensor.shape.rank && tensor.part.shape[axis] == 1) {
    ++axis;
  }
  const auto cut = static_cast<std::size_t>(axis);
  const std::int64_t rows = tensor.part.shape[axis];
  const std::int64_t row_bytes = static_cast<std::int64_t>(tensor.local.size_bytes()) / rows;
  const std::int64_t step = std::max<std::int64_t>(1, kWriteBytes / row_bytes);
  for (std::int64_t begin = 0; begin < rows; begin += step) {
    LocalPart block = tensor.part;
    block.offset.dims[cut] += begin;
    block.shape.dims[cut] = std::min(step, rows - begin);
    const Space space = select_part(dataset.get(), block);
    const Space memory = make_space(block.shape);
    H5_CHECK(H5Dwrite(dataset.get(), file_type(tensor.local.dtype), memory.get(), space.get(),
                      H5P_DEFAULT, tensor.local.as<std::byte>() + begin * row_bytes));
  }
}

void read_part(hid_t file, const CheckpointTensor& tensor) {
  if (!exists(file, tensor.path)) {
    fail(tensor, "is not in the checkpoint");
  }
  const Dataset dataset(H5_CHECK(H5Dopen2(file, tensor.path.c_str(), H5P_DEFAULT)));
  const Shape shape = shape_of(dataset.get());
  if (!(shape == tensor.shape)) {
    fail(tensor, "has shape " + shape.text() + ", the model wants " + tensor.shape.text());
  }
  const std::int64_t count = tensor.part.shape.num_elements();
  if (count == 0) {
    return;
  }
  const Space space = select_part(dataset.get(), tensor.part);
  const Space memory = make_space(tensor.part.shape);
  const DType stored = dtype_of(dataset.get());
  const bool same = stored == tensor.local.dtype;
  std::vector<std::byte> other(same ? 0 : static_cast<std::size_t>(count) * dtype_size(stored));
  void* bytes = same ? tensor.local.data : other.data();
  H5_CHECK(
      H5Dread(dataset.get(), file_type(stored), memory.get(), space.get(), H5P_DEFAULT, bytes));
  if (is_whole(tensor)) {
    Hasher hasher;
    hasher.update(bytes, static_cast<std::size_t>(count) * dtype_size(stored));
    if (hasher.hex() != read_text(dataset.get(), "xxh3_128")) {
      fail(tensor, "does not match its hash: the file is damaged");
    }
  }
  if (!same) {
    if (stored == DType::kF32) {
      convert<float, double>(bytes, tensor.local.data, count);
    } else {
      convert<double, float>(bytes, tensor.local.data, count);
    }
  }
}

}  // namespace finescale::h5
