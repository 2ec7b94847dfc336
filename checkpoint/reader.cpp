// SPDX-License-Identifier: Apache-2.0
// A tensor that every rank wants whole is read once, checked, and broadcast; otherwise each rank
// reads its own hyperslab. The file is only read, so no rank needs MPI-IO.
#include <algorithm>
#include <utility>

#include "checkpoint/checkpoint.h"
#include "checkpoint/h5.h"
#include "checkpoint/h5_slab.h"
#include "checkpoint/h5_state.h"
#include "comm/mpi/mpi_group.h"
#include "comm/together.h"
#include "core/files.h"

namespace finescale {

namespace {

// Threads of one process take turns, because HDF5 serves one at a time. Collective over the group.
void on_every_rank(Group& group, const std::function<void()>& body) {
  if (group.size() == 1 || native_communicator(group) != nullptr) {
    run_together(group, body);
    return;
  }
  for (int turn = 0; turn < group.size(); ++turn) {
    run_together(group, [&] {
      if (turn == group.rank()) {
        body();
      }
    });
  }
}

herr_t collect_dataset(hid_t /*object*/, const char* name, const H5O_info_t* info, void* context) {
  if (info->type == H5O_TYPE_DATASET) {
    static_cast<std::vector<std::string>*>(context)->push_back(std::string("/") + name);
  }
  return 0;
}

bool is_tensor(const std::string& path) {
  return !path.starts_with("/state/") && !path.starts_with("/run/");
}

}  // namespace

struct CheckpointReader::Impl {
  Group& group;
  std::string path;
  CheckpointState state;
  std::vector<LogicalTensor> tensors;  // name = path, sorted

  void load() {
    const h5::File file = h5::open_checkpoint(path);
    state = h5::read_state(file.get());
    std::vector<std::string> paths;
    H5_CHECK(
        H5Ovisit2(file.get(), H5_INDEX_NAME, H5_ITER_INC, collect_dataset, &paths, H5O_INFO_BASIC));
    std::sort(paths.begin(), paths.end());
    for (const std::string& name : paths) {
      if (is_tensor(name)) {
        const h5::Dataset dataset(H5_CHECK(H5Dopen2(file.get(), name.c_str(), H5P_DEFAULT)));
        tensors.push_back({name,
                           h5::shape_of(dataset.get()),
                           {},
                           h5::read_integer(dataset.get(), "trainable") != 0});
      }
    }
  }
};

CheckpointReader::CheckpointReader(Group& group, const std::string& path)
    : impl_(std::make_unique<Impl>(Impl{group, path, {}, {}})) {
  on_every_rank(group, [&] { h5::in_file(path, [&] { impl_->load(); }); });
}

CheckpointReader::~CheckpointReader() = default;

const CheckpointState& CheckpointReader::state() const {
  return impl_->state;
}

std::vector<LogicalTensor> CheckpointReader::tensors(const std::string& group_path) const {
  const std::string prefix = group_path.ends_with('/') ? group_path : group_path + "/";
  std::vector<LogicalTensor> below;
  for (const LogicalTensor& tensor : impl_->tensors) {
    if (tensor.name.starts_with(prefix)) {
      below.push_back({tensor.name.substr(prefix.size()), tensor.shape, {}, tensor.trainable});
    }
  }
  return below;
}

bool CheckpointReader::has(const std::string& path) const {
  return std::any_of(impl_->tensors.begin(), impl_->tensors.end(),
                     [&](const LogicalTensor& tensor) { return tensor.name == path; });
}

void CheckpointReader::read(const std::vector<CheckpointTensor>& tensors) {
  Impl& reader = *impl_;
  const auto read_parts = [&] {
    h5::in_file(reader.path, [&] {
      const h5::File file = h5::open_checkpoint(reader.path);
      for (const CheckpointTensor& tensor : tensors) {
        h5::check_part(tensor);
        h5::read_part(file.get(), tensor);
      }
    });
  };
  const bool all_whole = std::all_of(tensors.begin(), tensors.end(), h5::is_whole);
  if (reader.group.size() == 1 || reader.group.any(!all_whole)) {
    on_every_rank(reader.group, read_parts);
    return;
  }
  run_together(reader.group, [&] {
    for (const CheckpointTensor& tensor : tensors) {
      h5::check_part(tensor);
    }
    if (reader.group.rank() == 0) {
      read_parts();
    }
  });
  for (const CheckpointTensor& tensor : tensors) {
    reader.group.broadcast(tensor.local.data, tensor.local.size_bytes(), 0);
  }
}

}  // namespace finescale
