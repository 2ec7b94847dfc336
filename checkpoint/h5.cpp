// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/h5.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <vector>

namespace finescale::h5 {

namespace {

struct Cause {
  std::string innermost;
  int code = 0;  // errno, 0 when HDF5 does not say
};

// HDF5 puts the system's error into the text of the innermost entry ("errno = 28, ..."); MPI-IO
// gives MPI's text.
herr_t note_cause(unsigned depth, const H5E_error2_t* entry, void* context) {
  auto* cause = static_cast<Cause*>(context);
  if (entry->desc == nullptr) {
    return 0;
  }
  const std::string text = entry->desc;
  if (depth == 0) {
    cause->innermost = text;
  }
  if (const std::size_t at = text.find("errno = "); at != std::string::npos && cause->code == 0) {
    cause->code = std::atoi(text.c_str() + at + std::strlen("errno = "));
  }
  if (text.find("MPI_ERR_NO_SPACE") != std::string::npos ||
      text.find("No space left") != std::string::npos) {
    cause->code = ENOSPC;
  } else if (text.find("MPI_ERR_QUOTA") != std::string::npos) {
    cause->code = EDQUOT;
  } else if (text.find("MPI_ERR_READ_ONLY") != std::string::npos) {
    cause->code = EROFS;
  } else if (text.find("MPI_ERR_ACCESS") != std::string::npos) {
    cause->code = EACCES;
  }
  return 0;
}

// Printing is a setting of the whole library: taken away for the time of one call.
class Quiet {
 public:
  Quiet() {
    H5Eget_auto2(H5E_DEFAULT, &function_, &data_);
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  }
  ~Quiet() { H5Eset_auto2(H5E_DEFAULT, function_, data_); }
  Quiet(const Quiet&) = delete;
  Quiet& operator=(const Quiet&) = delete;

 private:
  H5E_auto2_t function_ = nullptr;
  void* data_ = nullptr;
};

void write_attribute(hid_t object, const char* name, hid_t stored, hid_t memory,
                     const void* value) {
  const Space scalar(H5_CHECK(H5Screate(H5S_SCALAR)));
  const Attribute attribute(
      H5_CHECK(H5Acreate2(object, name, stored, scalar.get(), H5P_DEFAULT, H5P_DEFAULT)));
  H5_CHECK(H5Awrite(attribute.get(), memory, value));
}

void read_attribute(hid_t object, const char* name, hid_t memory, void* value) {
  const Attribute attribute(H5_CHECK(H5Aopen(object, name, H5P_DEFAULT)));
  H5_CHECK(H5Aread(attribute.get(), memory, value));
}

}  // namespace

void throw_error(const char* expression) {
  Cause cause;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, note_cause, &cause);  // from the innermost entry on
  H5Eclear2(H5E_DEFAULT);
  switch (cause.code) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case EROFS:
    case EACCES:
    case EPERM:
      throw system_error(cause.code);
    default:
      throw Error(ErrorKind::kCheckpoint, cause.innermost + " (" + expression + ")");
  }
}

void in_file(const std::string& path, const std::function<void()>& body, ErrorKind otherwise) {
  // Of the process, as the library's own state is: a background writer and the ranks of a group of
  // threads take turns.
  static std::mutex library;
  const std::scoped_lock lock(library);
  const Quiet quiet;
  in_place(path, body, otherwise);
}

hid_t file_type(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return H5T_IEEE_F32LE;
    case DType::kF64:
      return H5T_IEEE_F64LE;
    case DType::kI32:
    case DType::kBf16:
      break;
  }
  throw Error(ErrorKind::kInternal,
              std::string("checkpoints hold f32 and f64, not ") + dtype_name(dtype));
}

DType dtype_of(hid_t dataset) {
  const Type type(H5_CHECK(H5Dget_type(dataset)));
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    if (H5_CHECK(H5Tequal(type.get(), file_type(dtype))) > 0) {
      return dtype;
    }
  }
  throw Error(ErrorKind::kCheckpoint, "a tensor is neither f32 nor f64");
}

Shape shape_of(hid_t dataset) {
  const Space space(H5_CHECK(H5Dget_space(dataset)));
  const int rank = H5_CHECK(H5Sget_simple_extent_ndims(space.get()));
  Shape shape;
  if (rank < 1 || rank > static_cast<int>(shape.dims.size())) {
    throw Error(ErrorKind::kCheckpoint,
                "a tensor has " + std::to_string(rank) + " dimensions, 1 to 4 are known");
  }
  std::vector<hsize_t> dims(static_cast<std::size_t>(rank));
  H5_CHECK(H5Sget_simple_extent_dims(space.get(), dims.data(), nullptr));
  shape.rank = rank;
  std::copy(dims.begin(), dims.end(), shape.dims.begin());
  return shape;
}

Properties creation(hid_t property_class) {
  Properties properties(H5_CHECK(H5Pcreate(property_class)));
  H5_CHECK(H5Pset_obj_track_times(properties.get(), false));
  return properties;
}

Space make_space(const Shape& shape) {
  const std::vector<hsize_t> dims(shape.dims.begin(), shape.dims.begin() + shape.rank);
  return Space(H5_CHECK(H5Screate_simple(shape.rank, dims.data(), nullptr)));
}

void write_number(hid_t object, const char* name, std::int64_t value) {
  write_attribute(object, name, H5T_STD_I64LE, H5T_NATIVE_INT64, &value);
}

void write_number(hid_t object, const char* name, double value) {
  write_attribute(object, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, &value);
}

void write_text(hid_t object, const char* name, std::string_view value) {
  const Type type(H5_CHECK(H5Tcopy(H5T_C_S1)));
  H5_CHECK(H5Tset_size(type.get(), std::max<std::size_t>(1, value.size())));
  H5_CHECK(H5Tset_strpad(type.get(), H5T_STR_NULLPAD));
  H5_CHECK(H5Tset_cset(type.get(), H5T_CSET_UTF8));
  const std::string bytes = value.empty() ? std::string(1, '\0') : std::string(value);
  write_attribute(object, name, type.get(), type.get(), bytes.data());
}

std::int64_t read_integer(hid_t object, const char* name) {
  std::int64_t value = 0;
  read_attribute(object, name, H5T_NATIVE_INT64, &value);
  return value;
}

double read_double(hid_t object, const char* name) {
  double value = 0;
  read_attribute(object, name, H5T_NATIVE_DOUBLE, &value);
  return value;
}

std::string read_text(hid_t object, const char* name) {
  const Attribute attribute(H5_CHECK(H5Aopen(object, name, H5P_DEFAULT)));
  const Type type(H5_CHECK(H5Aget_type(attribute.get())));
  std::string value(H5Tget_size(type.get()), '\0');
  if (H5Tget_class(type.get()) != H5T_STRING || H5Tis_variable_str(type.get()) > 0) {
    throw Error(ErrorKind::kCheckpoint,
                std::string("attribute ") + name + " is not a fixed-length string");
  }
  H5_CHECK(H5Aread(attribute.get(), type.get(), value.data()));
  while (!value.empty() && value.back() == '\0') {
    value.pop_back();
  }
  return value;
}

Properties file_access() {
  Properties access(H5_CHECK(H5Pcreate(H5P_FILE_ACCESS)));
  H5_CHECK(H5Pset_libver_bounds(access.get(), H5F_LIBVER_V18, H5F_LIBVER_LATEST));
  H5_CHECK(H5Pset_file_locking(access.get(), false, true));
  return access;
}

File open_checkpoint(const std::string& path) {
  File file(H5_CHECK(H5Fopen(path.c_str(), H5F_ACC_RDONLY, file_access().get())));
  const std::int64_t version = read_integer(file.get(), "format_version");
  if (version < 1 || version > kFormatVersion) {
    throw Error(ErrorKind::kCheckpoint,
                "checkpoint has format version " + std::to_string(version) +
                    ", this program reads up to version " + std::to_string(kFormatVersion),
                path, "use the version of finescale that wrote it");
  }
  return file;
}

}  // namespace finescale::h5
