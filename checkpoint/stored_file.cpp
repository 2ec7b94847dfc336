// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/stored_file.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "checkpoint/h5.h"
#include "checkpoint/h5_state.h"

namespace finescale {

namespace {

constexpr const char* kHashes = "/hashes/blocks";

h5::Type hash_type() {
  h5::Type type(H5_CHECK(H5Tcopy(H5T_C_S1)));
  H5_CHECK(H5Tset_size(type.get(), static_cast<std::size_t>(kHashCharacters)));
  H5_CHECK(H5Tset_strpad(type.get(), H5T_STR_NULLPAD));
  return type;
}

// The groups on the way to `path`.
void create_groups(hid_t file, const std::string& path) {
  const h5::Properties creation = h5::creation(H5P_GROUP_CREATE);
  for (std::size_t end = path.find('/', 1); end != std::string::npos;
       end = path.find('/', end + 1)) {
    const std::string group = path.substr(0, end);
    if (H5_CHECK(H5Lexists(file, group.c_str(), H5P_DEFAULT)) == 0) {
      const h5::Group made(
          H5_CHECK(H5Gcreate2(file, group.c_str(), H5P_DEFAULT, creation.get(), H5P_DEFAULT)));
    }
  }
}

// Contiguous, its space taken at once and never filled: the data comes by other ways.
h5::Dataset create_dataset(hid_t file, const std::string& path, hid_t type, const Shape& shape) {
  create_groups(file, path);
  const h5::Properties creation = h5::creation(H5P_DATASET_CREATE);
  H5_CHECK(H5Pset_layout(creation.get(), H5D_CONTIGUOUS));
  H5_CHECK(H5Pset_fill_time(creation.get(), H5D_FILL_TIME_NEVER));
  H5_CHECK(H5Pset_alloc_time(creation.get(), H5D_ALLOC_TIME_EARLY));
  const h5::Space space = h5::make_space(shape);
  return h5::Dataset(H5_CHECK(
      H5Dcreate2(file, path.c_str(), type, space.get(), H5P_DEFAULT, creation.get(), H5P_DEFAULT)));
}

std::int64_t offset_of(hid_t dataset, const std::string& path, const Shape& shape) {
  if (shape.num_elements() == 0) {
    return 0;
  }
  const haddr_t offset = H5Dget_offset(dataset);
  if (offset == HADDR_UNDEF) {
    H5Eclear2(H5E_DEFAULT);
    throw Error(ErrorKind::kCheckpoint, path + " is not stored contiguously");
  }
  return static_cast<std::int64_t>(offset);
}

void create_tensor(hid_t file, StoredTensor& tensor) {
  const h5::Dataset dataset =
      create_dataset(file, tensor.path, h5::file_type(tensor.dtype), tensor.shape);
  h5::write_text(dataset.get(), "dtype", dtype_name(tensor.dtype));
  h5::write_number(dataset.get(), "trainable", std::int64_t{tensor.trainable});
  h5::write_number(dataset.get(), "first_block", tensor.first_block);
  tensor.offset = offset_of(dataset.get(), tensor.path, tensor.shape);
}

herr_t collect_dataset(hid_t /*object*/, const char* name, const H5O_info_t* info, void* context) {
  if (info->type == H5O_TYPE_DATASET) {
    static_cast<std::vector<std::string>*>(context)->push_back(std::string("/") + name);
  }
  return 0;
}

bool is_tensor(const std::string& path) {
  return !path.starts_with("/state/") && !path.starts_with("/run/") && path != kHashes;
}

StoredTensor load_tensor(hid_t file, const std::string& path, std::int64_t version) {
  const h5::Dataset dataset(H5_CHECK(H5Dopen2(file, path.c_str(), H5P_DEFAULT)));
  StoredTensor tensor;
  tensor.path = path;
  tensor.shape = h5::shape_of(dataset.get());
  tensor.dtype = h5::dtype_of(dataset.get());
  tensor.trainable = h5::read_integer(dataset.get(), "trainable") != 0;
  tensor.offset = offset_of(dataset.get(), path, tensor.shape);
  if (version == 1) {
    tensor.first_block = -1;
    tensor.hash = h5::read_text(dataset.get(), "xxh3_128");
  } else {
    tensor.first_block = h5::read_integer(dataset.get(), "first_block");
  }
  return tensor;
}

void load_hashes(hid_t file, StoredFile& stored) {
  const h5::Dataset dataset(H5_CHECK(H5Dopen2(file, kHashes, H5P_DEFAULT)));
  const Shape shape = h5::shape_of(dataset.get());
  stored.num_blocks = shape.num_elements();
  stored.hashes_offset = offset_of(dataset.get(), kHashes, shape);
  stored.hashes.resize(static_cast<std::size_t>(stored.num_blocks * kHashCharacters));
  if (stored.num_blocks > 0) {
    const h5::Type type = hash_type();
    H5_CHECK(
        H5Dread(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, stored.hashes.data()));
  }
  for (const StoredTensor& tensor : stored.tensors) {
    if (tensor.first_block < 0 || tensor.first_block + tensor.num_blocks() > stored.num_blocks) {
      throw Error(ErrorKind::kCheckpoint, tensor.path + " has no hashes: the file is damaged");
    }
  }
}

}  // namespace

const StoredTensor* StoredFile::find(const std::string& path) const {
  const auto found = std::lower_bound(
      tensors.begin(), tensors.end(), path,
      [](const StoredTensor& tensor, const std::string& name) { return tensor.path < name; });
  return found != tensors.end() && found->path == path ? &*found : nullptr;
}

void create_structure(const std::string& path, const CheckpointState& state, StoredFile& stored) {
  ::unlink(path.c_str());  // a left-over of an attempt that was killed
  const h5::Properties access = h5::file_access();
  // Large tensors begin at a page: ranks that write neighbouring blocks share no page.
  H5_CHECK(H5Pset_alignment(access.get(), kHashBlockBytes, 4096));
  h5::File file(H5_CHECK(
      H5Fcreate(path.c_str(), H5F_ACC_TRUNC, h5::creation(H5P_FILE_CREATE).get(), access.get())));
  h5::write_number(file.get(), "format_version", std::int64_t{h5::kFormatVersion});
  h5::write_state(file.get(), state);
  const h5::Type type = hash_type();
  const Shape table{stored.num_blocks};
  {
    const h5::Dataset hashes = create_dataset(file.get(), kHashes, type.get(), table);
    stored.hashes_offset = offset_of(hashes.get(), kHashes, table);
  }
  for (StoredTensor& tensor : stored.tensors) {
    create_tensor(file.get(), tensor);
  }
  // Closing writes what is left: its error must not be lost in a destructor.
  H5_CHECK(H5Fclose(file.release()));
}

StoredFile load_structure(const std::string& path, CheckpointState& state) {
  const h5::File file = h5::open_checkpoint(path);
  state = h5::read_state(file.get());
  std::vector<std::string> paths;
  H5_CHECK(
      H5Ovisit2(file.get(), H5_INDEX_NAME, H5_ITER_INC, collect_dataset, &paths, H5O_INFO_BASIC));
  std::sort(paths.begin(), paths.end());
  const std::int64_t version = h5::read_integer(file.get(), "format_version");
  StoredFile stored;
  for (const std::string& name : paths) {
    if (is_tensor(name)) {
      stored.tensors.push_back(load_tensor(file.get(), name, version));
    }
  }
  if (version > 1) {
    load_hashes(file.get(), stored);
  }
  return stored;
}

}  // namespace finescale
