// SPDX-License-Identifier: Apache-2.0
// Owners of HDF5 handles, H5_CHECK, and the few calls checkpoints are made of. HDF5 is not
// thread-safe here: in_file lets one thread of a process in at a time.
#pragma once

#include <hdf5.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "checkpoint/raw_file.h"
#include "core/error.h"
#include "core/tensor.h"
#include "core/unique_handle.h"

namespace finescale::h5 {

inline constexpr int kFormatVersion = 2;  // written; older ones are read

template <herr_t (*Close)(hid_t)>
struct Traits {
  using Handle = hid_t;
  static Handle invalid() noexcept { return -1; }
  static void destroy(Handle handle) noexcept { Close(handle); }
};
using File = UniqueHandle<Traits<H5Fclose>>;
using Group = UniqueHandle<Traits<H5Gclose>>;
using Dataset = UniqueHandle<Traits<H5Dclose>>;
using Space = UniqueHandle<Traits<H5Sclose>>;
using Type = UniqueHandle<Traits<H5Tclose>>;
using Attribute = UniqueHandle<Traits<H5Aclose>>;
using Properties = UniqueHandle<Traits<H5Pclose>>;

// Throws from HDF5's error stack, and empties it: kResource for a full disk or a place that may not
// be written, else kCheckpoint.
[[noreturn]] void throw_error(const char* expression);
template <class T>
T checked(T value, const char* expression) {
  if (value < 0) {
    throw_error(expression);
  }
  return value;
}

// Runs body with HDF5's own printing of errors off, while no other thread of the process is in
// HDF5: every use of the library is inside of one, never nested, and holds no collective. An Error
// without a place gets `path` as its place. A failure that HDF5 does not explain is of the kind
// `otherwise`.
void in_file(const std::string& path, const std::function<void()>& body,
             ErrorKind otherwise = ErrorKind::kCheckpoint);

[[nodiscard]] hid_t file_type(DType dtype);   // predefined: not closed
[[nodiscard]] DType dtype_of(hid_t dataset);  // kCheckpoint when neither f32 nor f64
[[nodiscard]] Shape shape_of(hid_t dataset);
// For H5P_FILE_CREATE, H5P_GROUP_CREATE, H5P_DATASET_CREATE: without the times that HDF5 would
// note, so that equal content gives equal files.
[[nodiscard]] Properties creation(hid_t property_class);
[[nodiscard]] Space make_space(const Shape& shape);

void write_number(hid_t object, const char* name, std::int64_t value);
void write_number(hid_t object, const char* name, double value);
void write_text(hid_t object, const char* name, std::string_view value);  // fixed length, UTF-8
[[nodiscard]] std::int64_t read_integer(hid_t object, const char* name);
[[nodiscard]] double read_double(hid_t object, const char* name);
[[nodiscard]] std::string read_text(hid_t object, const char* name);

// Opens for reading, without a lock: a published checkpoint never changes. Checks format_version.
[[nodiscard]] File open_checkpoint(const std::string& path);
// File access as all checkpoints use it: compact 1.8 metadata with checksums, no file locks (they
// fail on some shared file systems, and renames already keep readers and writers apart).
[[nodiscard]] Properties file_access();

}  // namespace finescale::h5

#define H5_CHECK(expression) ::finescale::h5::checked((expression), #expression)
