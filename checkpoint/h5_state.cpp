// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/h5_state.h"

#include <bit>
#include <string_view>
#include <vector>

#include "checkpoint/h5.h"
#include "core/hash.h"

namespace finescale::h5 {

namespace {

std::string state_hash(const CheckpointState& state) {
  Hasher hasher;
  const auto integer = [&](std::int64_t value) { hasher.update(&value, sizeof(value)); };
  const auto number = [&](double value) { integer(std::bit_cast<std::int64_t>(value)); };
  const auto text = [&](std::string_view value) {
    integer(static_cast<std::int64_t>(value.size()));
    hasher.update(value);
  };
  for (const std::int64_t value : {state.step, state.tokens, state.labels, state.examples}) {
    integer(value);
  }
  number(state.seconds);
  number(state.train_flops);
  for (const std::string* value :
       {&state.base_key, &state.stage_text, &state.model_text, &state.result}) {
    text(*value);
  }
  for (const auto& [name, value] : state.numbers) {
    text(name);
    number(value);
  }
  return hasher.hex();
}

// Bytes of any length (an attribute holds 64 KiB at most): one-dimensional u8, for h5py
// bytes(file["run/stage"][:]). Empty: no dimension.
void write_bytes(hid_t group, const char* name, std::string_view bytes) {
  const hsize_t size = bytes.size();
  const Space space(
      H5_CHECK(bytes.empty() ? H5Screate(H5S_NULL) : H5Screate_simple(1, &size, nullptr)));
  const Dataset dataset(H5_CHECK(H5Dcreate2(group, name, H5T_STD_U8LE, space.get(), H5P_DEFAULT,
                                            creation(H5P_DATASET_CREATE).get(), H5P_DEFAULT)));
  if (!bytes.empty()) {
    H5_CHECK(
        H5Dwrite(dataset.get(), H5T_NATIVE_UINT8, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data()));
  }
}

std::string read_bytes(hid_t group, const char* name) {
  const Dataset dataset(H5_CHECK(H5Dopen2(group, name, H5P_DEFAULT)));
  const Space space(H5_CHECK(H5Dget_space(dataset.get())));
  std::string bytes(static_cast<std::size_t>(H5_CHECK(H5Sget_simple_extent_npoints(space.get()))),
                    '\0');
  if (!bytes.empty()) {
    H5_CHECK(H5Dread(dataset.get(), H5T_NATIVE_UINT8, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data()));
  }
  return bytes;
}

herr_t collect_number(hid_t object, const char* name, const H5A_info_t* /*info*/, void* context) {
  try {
    (*static_cast<std::map<std::string, double>*>(context))[name] = read_double(object, name);
    return 0;
  } catch (const Error&) {
    return -1;  // no exception may pass through C code
  }
}

Group make_group(hid_t parent, const char* name) {
  return Group(H5_CHECK(
      H5Gcreate2(parent, name, H5P_DEFAULT, creation(H5P_GROUP_CREATE).get(), H5P_DEFAULT)));
}

}  // namespace

void write_state(hid_t file, const CheckpointState& state) {
  const Group group = make_group(file, "state");
  write_number(group.get(), "step", state.step);
  write_number(group.get(), "tokens", state.tokens);
  write_number(group.get(), "labels", state.labels);
  write_number(group.get(), "examples", state.examples);
  write_number(group.get(), "seconds", state.seconds);
  write_number(group.get(), "train_flops", state.train_flops);
  write_text(group.get(), "xxh3_128", state_hash(state));
  write_bytes(group.get(), "result", state.result);
  const Group numbers = make_group(group.get(), "numbers");
  for (const auto& [name, value] : state.numbers) {
    write_number(numbers.get(), name.c_str(), value);
  }
  const Group run = make_group(file, "run");
  write_text(run.get(), "base_key", state.base_key);
  write_bytes(run.get(), "stage", state.stage_text);
  write_bytes(run.get(), "model", state.model_text);
}

CheckpointState read_state(hid_t file) {
  const Group group(H5_CHECK(H5Gopen2(file, "state", H5P_DEFAULT)));
  CheckpointState state;
  state.step = read_integer(group.get(), "step");
  state.tokens = read_integer(group.get(), "tokens");
  state.labels = read_integer(group.get(), "labels");
  state.examples = read_integer(group.get(), "examples");
  state.seconds = read_double(group.get(), "seconds");
  state.train_flops = read_double(group.get(), "train_flops");
  state.result = read_bytes(group.get(), "result");
  const Group numbers(H5_CHECK(H5Gopen2(group.get(), "numbers", H5P_DEFAULT)));
  H5_CHECK(H5Aiterate2(numbers.get(), H5_INDEX_NAME, H5_ITER_INC, nullptr, collect_number,
                       &state.numbers));
  const Group run(H5_CHECK(H5Gopen2(file, "run", H5P_DEFAULT)));
  state.base_key = read_text(run.get(), "base_key");
  state.stage_text = read_bytes(run.get(), "stage");
  state.model_text = read_bytes(run.get(), "model");
  if (read_text(group.get(), "xxh3_128") != state_hash(state)) {
    throw Error(ErrorKind::kCheckpoint, "the content of /state or /run does not match its hash");
  }
  return state;
}

}  // namespace finescale::h5
