// SPDX-License-Identifier: Apache-2.0
// Checkpoints beside training: the caller waits only for a copy of its data; a thread of each rank
// then carries out the collective write on a group of its own. The group's library must allow calls
// from several threads at once (MPI_THREAD_MULTIPLE) when the caller communicates meanwhile.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "checkpoint/checkpoint.h"

namespace finescale {

class AsyncCheckpointWriter {
 public:
  using Write = std::function<void(Group&, const std::string& path, const CheckpointState&,
                                   const std::vector<CheckpointTensor>&)>;

  // Collective over the group, which it splits and does not keep.
  explicit AsyncCheckpointWriter(Group& group, Write write = write_checkpoint);
  // Waits for a write in progress. Its error is lost: call wait() before.
  ~AsyncCheckpointWriter();
  AsyncCheckpointWriter(const AsyncCheckpointWriter&) = delete;
  AsyncCheckpointWriter& operator=(const AsyncCheckpointWriter&) = delete;

  // Takes the memory of a snapshot now, so that the first start() copies at full speed.
  void reserve(const std::vector<CheckpointTensor>& tensors);
  // Waits for the write before (and throws its error), copies what this rank writes, returns. The
  // tensors' memory may change at once. Every rank of the group calls it, in the same order; what
  // fails here on one rank only is thrown by wait() on all.
  void start(const std::string& path, const CheckpointState& state,
             const std::vector<CheckpointTensor>& tensors);
  // Until the checkpoint is committed. Throws the error of the write, the same on every rank, once.
  void wait();
  // Whether a write is in progress on this rank.
  [[nodiscard]] bool busy();

 private:
  struct Memory;  // pages kept for the life of the writer

  void run(const std::stop_token& stop);
  void write_snapshot();  // by the thread; collective over its group
  void take_snapshot(const std::vector<CheckpointTensor>& tensors);

  std::unique_ptr<Group> group_;  // of the thread alone
  Write write_;
  std::unique_ptr<Memory> memory_;
  // Belong to the thread while busy_, else to the caller.
  std::string path_;
  CheckpointState state_;
  std::vector<CheckpointTensor> tensors_;
  std::exception_ptr refused_;  // why this rank has no snapshot

  std::mutex mutex_;
  std::condition_variable_any changed_;
  bool busy_ = false;
  std::exception_ptr error_;
  std::jthread thread_;  // last: it uses the members above
};

}  // namespace finescale
