// SPDX-License-Identifier: Apache-2.0
#include "worker/memory_use.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <fstream>
#include <span>
#include <sstream>
#include <string>
#include <vector>

namespace finescale {

std::int64_t resident_peak() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    if (word == "VmHWM:") {
      std::int64_t kib = 0;
      status >> kib;
      return kib * 1024;
    }
  }
  return 0;
}

void reset_resident_peak() {
  std::ofstream("/proc/self/clear_refs") << "5";  // proc(5)
}

double process_age() {
  std::ifstream uptime("/proc/uptime");
  std::ifstream stat("/proc/self/stat");
  double up = 0;
  std::string text;
  if (!(uptime >> up) || !std::getline(stat, text) || text.rfind(')') == std::string::npos) {
    return 0;
  }
  // proc(5): field 22, the 20th behind the name in brackets, is the start in clock ticks.
  std::istringstream fields(text.substr(text.rfind(')') + 1));
  constexpr int kStartField = 20;
  std::string word;
  for (int i = 0; i < kStartField; ++i) {
    fields >> word;
  }
  return up - std::stod(word) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

void add_memory(Group& group, const MemoryUse& mine, proto::StageResult& result) {
  using Row = std::array<std::int64_t, 8>;
  const Row row = {mine.weights,     mine.gather,        mine.gradients, mine.optimizer,
                   mine.activations, mine.communication, mine.data,      mine.resident};
  std::vector<Row> rows(static_cast<std::size_t>(group.size()));
  std::vector<std::size_t> offsets;
  for (std::size_t rank = 0; rank <= rows.size(); ++rank) {
    offsets.push_back(rank * sizeof(Row));
  }
  group.all_gather(std::as_bytes(std::span(row)), std::as_writable_bytes(std::span(rows)), offsets);
  for (std::size_t rank = 0; rank < rows.size(); ++rank) {
    proto::RankMemory& out = *result.add_memory();
    out.set_rank(static_cast<int>(rank));
    out.set_weights(rows[rank][0]);
    out.set_gather(rows[rank][1]);
    out.set_gradients(rows[rank][2]);
    out.set_optimizer(rows[rank][3]);
    out.set_activations(rows[rank][4]);
    out.set_communication(rows[rank][5]);
    out.set_data(rows[rank][6]);
    out.set_resident(rows[rank][7]);
  }
}

const proto::RankMemory* largest_rank(const proto::StageResult& result) {
  const auto largest =
      std::max_element(result.memory().begin(), result.memory().end(),
                       [](const auto& a, const auto& b) { return a.resident() < b.resident(); });
  return largest == result.memory().end() ? nullptr : &*largest;
}

}  // namespace finescale
