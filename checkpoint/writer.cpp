// SPDX-License-Identifier: Apache-2.0
// Rank 0 makes the file with all its structure, alone; ranks that hold data then write their
// hyperslabs: through MPI-IO when the group is one of processes, else in turn. No metadata is ever
// written by two ranks.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <functional>
#include <set>
#include <span>
#include <string_view>

#include <mpi.h>

#include "checkpoint/checkpoint.h"
#include "checkpoint/h5.h"
#include "checkpoint/h5_slab.h"
#include "checkpoint/h5_state.h"
#include "comm/mpi/mpi_group.h"
#include "comm/together.h"
#include "core/crash_point.h"
#include "core/files.h"
#include "core/hash.h"

namespace finescale {

namespace {

constexpr std::string_view kBeside = ".tmp";
constexpr std::size_t kHashCharacters = 32;
using HashText = std::array<char, kHashCharacters>;

struct WritePlan {
  std::vector<std::string> hashes;  // per tensor; empty when several ranks hold parts of it
  bool rank_0_writes_all = true;
};

bool holds_data(const CheckpointTensor& tensor) {
  return tensor.writes && tensor.part.shape.num_elements() > 0;
}

// The one writer of a whole tensor hashes its memory; everyone learns the hash. Collective over the
// group.
WritePlan make_plan(Group& group, const std::vector<CheckpointTensor>& tensors) {
  FS_CHECK(group.sum(std::ssize(tensors)) == std::ssize(tensors) * group.size(),
           "ranks disagree on the tensors of a checkpoint");
  const std::size_t count = tensors.size();
  // Per tensor and rank: '-' nothing, '+' a part, else the hash of the whole.
  std::vector<HashText> mine(count);
  for (std::size_t i = 0; i < count; ++i) {
    mine[i].fill(holds_data(tensors[i]) ? '+' : '-');
    if (holds_data(tensors[i]) && h5::is_whole(tensors[i])) {
      Hasher hasher;
      hasher.update(tensors[i].local.data, tensors[i].local.size_bytes());
      const std::string hex = hasher.hex();
      std::copy(hex.begin(), hex.end(), mine[i].begin());
    }
  }
  const auto size = static_cast<std::size_t>(group.size());
  std::vector<HashText> all(count * size);
  std::vector<std::size_t> offsets;
  for (std::size_t rank = 0; rank <= size; ++rank) {
    offsets.push_back(rank * count * sizeof(HashText));
  }
  group.all_gather(std::as_bytes(std::span(mine)), std::as_writable_bytes(std::span(all)), offsets);
  WritePlan plan;
  for (std::size_t i = 0; i < count; ++i) {
    std::string& hash = plan.hashes.emplace_back();
    int whole = 0;
    int parts = 0;
    for (std::size_t rank = 0; rank < size; ++rank) {
      const HashText& text = all[rank * count + i];
      if (text[0] == '-') {
        continue;
      }
      plan.rank_0_writes_all = plan.rank_0_writes_all && rank == 0;
      parts += static_cast<int>(text[0] == '+');
      if (text[0] != '+') {
        ++whole;
        hash.assign(text.begin(), text.end());
      }
    }
    FS_CHECK(whole + parts > 0 || tensors[i].shape.num_elements() == 0,
             tensors[i].path + " is written by no rank");
    FS_CHECK(whole == 0 || (whole == 1 && parts == 0),
             tensors[i].path + " is written by several ranks");
    if (whole + parts == 0) {
      hash = hash_hex("");
    }
  }
  return plan;
}

// A failure to write that nobody explains is one of the file system; users know PATH, not PATH.tmp.
void in_output(const std::string& beside, const std::function<void()>& body) {
  h5::in_file(beside.substr(0, beside.size() - kBeside.size()), body, ErrorKind::kIo);
}

void create_dataset(hid_t file, const CheckpointTensor& tensor, const std::string& hash) {
  const h5::Properties links(H5_CHECK(H5Pcreate(H5P_LINK_CREATE)));
  H5_CHECK(H5Pset_create_intermediate_group(links.get(), 1));
  const h5::Properties creation(H5_CHECK(H5Pcreate(H5P_DATASET_CREATE)));
  H5_CHECK(H5Pset_layout(creation.get(), H5D_CONTIGUOUS));
  H5_CHECK(H5Pset_fill_time(creation.get(), H5D_FILL_TIME_NEVER));
  H5_CHECK(H5Pset_alloc_time(creation.get(), H5D_ALLOC_TIME_EARLY));
  H5_CHECK(H5Pset_obj_track_times(creation.get(), false));  // equal content, equal file
  const h5::Space space = h5::make_space(tensor.shape);
  const h5::Dataset dataset(
      H5_CHECK(H5Dcreate2(file, tensor.path.c_str(), h5::file_type(tensor.local.dtype), space.get(),
                          links.get(), creation.get(), H5P_DEFAULT)));
  h5::write_text(dataset.get(), "dtype", dtype_name(tensor.local.dtype));
  h5::write_number(dataset.get(), "trainable", std::int64_t{tensor.trainable});
  if (!hash.empty()) {
    h5::write_text(dataset.get(), "xxh3_128", hash);
  }
}

void close_file(h5::File file) {
  // Closing writes what is left: its error must not be lost in a destructor.
  H5_CHECK(H5Fclose(file.release()));
}

void create_file(const std::string& path, const CheckpointState& state,
                 const std::vector<CheckpointTensor>& tensors, const WritePlan& plan) {
  ::unlink(path.c_str());  // a left-over of an attempt that was killed
  h5::File file(
      H5_CHECK(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, h5::file_access().get())));
  h5::write_number(file.get(), "format_version", std::int64_t{1});
  h5::write_state(file.get(), state);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    create_dataset(file.get(), tensors[i], plan.hashes[i]);
  }
  if (plan.rank_0_writes_all) {
    for (const CheckpointTensor& tensor : tensors) {
      h5::write_part(file.get(), tensor);
    }
  }
  close_file(std::move(file));
}

void write_own_parts(hid_t file, const std::vector<CheckpointTensor>& tensors) {
  for (const CheckpointTensor& tensor : tensors) {
    if (holds_data(tensor)) {
      h5::write_part(file, tensor);
    }
  }
}

// Takes the space now, where a full disk is reported as such: MPI-IO says only "input/output
// error". By rank 0 alone.
void reserve_space(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  struct stat status {};
  const bool known = descriptor >= 0 && ::fstat(descriptor, &status) == 0;
  const int code = known && ::fallocate(descriptor, 0, 0, status.st_size) != 0 ? errno : 0;
  if (descriptor >= 0) {
    ::close(descriptor);
  }
  if (code == ENOSPC || code == EDQUOT) {  // other answers: this file system cannot reserve
    throw h5::no_space();
  }
}

// Collective over the group.
void write_parts_by_mpi(Group& group, MPI_Comm communicator, const std::string& path,
                        const std::vector<CheckpointTensor>& tensors) {
  h5::File file;
  const auto together = [&](const std::function<void()>& body) {
    run_together(group, [&] { in_output(path, body); });
  };
  together([&] {
    if (group.rank() == 0) {
      reserve_space(path);
    }
  });
  together([&] {
    const h5::Properties access = h5::file_access();
    H5_CHECK(H5Pset_fapl_mpio(access.get(), communicator, MPI_INFO_NULL));
    file.reset(H5_CHECK(H5Fopen(path.c_str(), H5F_ACC_RDWR, access.get())));
  });
  // The data transfers are independent, so one rank may fail alone; opening and closing are not.
  together([&] { write_own_parts(file.get(), tensors); });
  together([&] { close_file(std::move(file)); });
}

// Ranks are threads: HDF5 serves one at a time. Collective over the group.
void write_parts_in_turn(Group& group, const std::string& path,
                         const std::vector<CheckpointTensor>& tensors) {
  const auto body = [&] {
    h5::File file(H5_CHECK(H5Fopen(path.c_str(), H5F_ACC_RDWR, h5::file_access().get())));
    write_own_parts(file.get(), tensors);
    close_file(std::move(file));
  };
  for (int turn = 0; turn < group.size(); ++turn) {
    run_together(group, [&] {
      if (turn == group.rank()) {
        in_output(path, body);
      }
    });
  }
}

// Tensors that several ranks wrote: read back what lies in the file. By rank 0 alone.
void hash_split_tensors(const std::string& path, const std::vector<CheckpointTensor>& tensors,
                        const WritePlan& plan) {
  h5::File file(H5_CHECK(H5Fopen(path.c_str(), H5F_ACC_RDWR, h5::file_access().get())));
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (plan.hashes[i].empty()) {
      const h5::Dataset dataset(
          H5_CHECK(H5Dopen2(file.get(), tensors[i].path.c_str(), H5P_DEFAULT)));
      h5::write_text(dataset.get(), "xxh3_128", h5::hash_dataset(dataset.get()));
    }
  }
  close_file(std::move(file));
}

// By rank 0 alone.
void finish_file(const std::string& beside, const std::string& path,
                 const std::vector<CheckpointTensor>& tensors, const WritePlan& plan) {
  if (std::any_of(plan.hashes.begin(), plan.hashes.end(),
                  [](const std::string& hash) { return hash.empty(); })) {
    in_output(beside, [&] { hash_split_tensors(beside, tensors, plan); });
  }
  sync_file(beside);
  crash_point("worker.before_checkpoint_rename");
  rename_durably(beside, path);
  crash_point("worker.after_checkpoint");
}

void check_tensors(const std::vector<CheckpointTensor>& tensors) {
  std::set<std::string> names;
  for (const CheckpointTensor& tensor : tensors) {
    FS_CHECK(names.insert(tensor.path).second, tensor.path + " occurs twice");
    if (tensor.writes) {
      h5::check_part(tensor);
    }
  }
}

// Collective over the group.
void write_file(Group& group, const std::string& beside, const std::string& path,
                const CheckpointState& state, const std::vector<CheckpointTensor>& tensors,
                const WritePlan& plan) {
  const auto on_rank_0 = [&](const std::function<void()>& body) {
    run_together(group, [&] {
      if (group.rank() == 0) {
        body();
      }
    });
  };
  on_rank_0([&] { in_output(beside, [&] { create_file(beside, state, tensors, plan); }); });
  if (!plan.rank_0_writes_all) {
    if (const void* communicator = native_communicator(group); communicator != nullptr) {
      write_parts_by_mpi(group, *static_cast<const MPI_Comm*>(communicator), beside, tensors);
    } else {
      write_parts_in_turn(group, beside, tensors);
    }
  }
  on_rank_0([&] { finish_file(beside, path, tensors, plan); });
}

}  // namespace

void write_checkpoint(Group& group, const std::string& path, const CheckpointState& state,
                      const std::vector<CheckpointTensor>& tensors) {
  const std::string beside = path + std::string(kBeside);
  run_together(group, [&] { check_tensors(tensors); });
  const WritePlan plan = make_plan(group, tensors);
  try {
    write_file(group, beside, path, state, tensors, plan);
  } catch (const Error&) {
    if (group.rank() == 0) {
      ::unlink(beside.c_str());  // a full disk should not stay full because of it
    }
    throw;
  }
}

}  // namespace finescale
