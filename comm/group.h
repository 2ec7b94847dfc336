// SPDX-License-Identifier: Apache-2.0
// A process group: the ranks that meet in a collective. Backends: mpi/ (processes), local/
// (threads, for tests), nccl/. Every call is collective over the group unless it says otherwise;
// one thread per rank calls.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "core/tensor.h"

namespace finescale {

class Group {
 public:
  virtual ~Group() = default;
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  [[nodiscard]] virtual int rank() const noexcept = 0;
  [[nodiscard]] virtual int size() const noexcept = 0;

  virtual void barrier() = 0;
  virtual void broadcast(void* data, std::size_t size_bytes, int root) = 0;
  // Sends send[r] to rank r and receives into receive[r]; counts in bytes may differ per pair.
  // Point-to-point order of completion never changes a result.
  virtual void all_to_all(std::span<const std::span<const std::byte>> send,
                          std::span<const std::span<std::byte>> receive) = 0;
  // Concatenation of every rank's part, in rank order; offsets_bytes has size()+1 entries.
  virtual void all_gather(std::span<const std::byte> part, std::span<std::byte> whole,
                          std::span<const std::size_t> offsets_bytes) = 0;
  // New group of the ranks with the same color, ordered by key. Collective over this group.
  [[nodiscard]] virtual std::unique_ptr<Group> split(int color, int key) = 0;
  // Ends every rank of the job at once with this exit code. Not collective.
  [[noreturn]] virtual void abort(int exit_code) = 0;

  // Conveniences built on the above.
  void broadcast(std::string& text, int root);
  [[nodiscard]] double max(double value);
  [[nodiscard]] std::int64_t sum(std::int64_t value);
  [[nodiscard]] bool any(bool value);

 protected:
  Group() = default;
};

[[nodiscard]] std::unique_ptr<Group> make_single_group();  // one rank, no library

}  // namespace finescale
