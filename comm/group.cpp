// SPDX-License-Identifier: Apache-2.0
#include "comm/group.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "core/error.h"

namespace finescale {

namespace {

// One value of every rank, in rank order, so that what is computed from them has the same bits
// everywhere.
template <class T>
std::vector<T> gather_values(Group& group, T value) {
  const auto size = static_cast<std::size_t>(group.size());
  std::vector<T> values(size);
  std::vector<std::size_t> offsets(size + 1);
  for (std::size_t rank = 0; rank <= size; ++rank) {
    offsets[rank] = rank * sizeof(T);
  }
  group.all_gather(std::as_bytes(std::span(&value, 1)), std::as_writable_bytes(std::span(values)),
                   offsets);
  return values;
}

class SingleGroup final : public Group {
 public:
  [[nodiscard]] int rank() const noexcept override { return 0; }
  [[nodiscard]] int size() const noexcept override { return 1; }
  void barrier() override {}
  void broadcast(void* /*data*/, std::size_t /*size_bytes*/, int root) override {
    FS_CHECK(root == 0, "a group of one has no rank " + std::to_string(root));
  }
  void all_to_all(std::span<const std::span<const std::byte>> send,
                  std::span<const std::span<std::byte>> receive) override {
    FS_CHECK(send.size() == 1 && receive.size() == 1 && send[0].size() == receive[0].size(),
             "all_to_all of one rank");
    if (!send[0].empty()) {
      std::memmove(receive[0].data(), send[0].data(), send[0].size());
    }
  }
  void all_gather(std::span<const std::byte> part, std::span<std::byte> whole,
                  std::span<const std::size_t> offsets_bytes) override {
    FS_CHECK(offsets_bytes.size() == 2 && offsets_bytes[1] - offsets_bytes[0] == part.size(),
             "all_gather of one rank");
    if (!part.empty()) {
      std::memmove(whole.data() + offsets_bytes[0], part.data(), part.size());
    }
  }
  [[nodiscard]] std::unique_ptr<Group> split(int /*color*/, int /*key*/) override {
    return std::make_unique<SingleGroup>();
  }
  [[noreturn]] void abort(int exit_code) override {
    std::fflush(nullptr);
    std::_Exit(exit_code);
  }
};

}  // namespace

void Group::broadcast(std::string& text, int root) {
  std::uint64_t size = text.size();
  broadcast(&size, sizeof(size), root);
  text.resize(size);
  if (size > 0) {
    broadcast(text.data(), size, root);
  }
}

double Group::max(double value) {
  const std::vector<double> values = gather_values(*this, value);
  return *std::max_element(values.begin(), values.end());
}

std::int64_t Group::sum(std::int64_t value) {
  std::int64_t total = 0;
  for (const std::int64_t one : gather_values(*this, value)) {
    total += one;
  }
  return total;
}

bool Group::any(bool value) {
  return sum(value ? 1 : 0) > 0;
}

std::unique_ptr<Group> make_single_group() {
  return std::make_unique<SingleGroup>();
}

}  // namespace finescale
