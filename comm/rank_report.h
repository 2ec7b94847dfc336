// SPDX-License-Identifier: Apache-2.0
// What a rank tells the others when something hangs: its calls in progress and how far it came in
// each of its groups.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace finescale {

struct CallReport {
  std::string operation;  // empty: none
  std::string group;      // name
  std::uint64_t group_id = 0;
  std::uint64_t sequence = 0;
  int peer = -1;  // rank of the world that a send or receive waits for; -1: collective
  int tag = 0;
  std::string source;  // file:line
  double seconds = 0;  // since it began; of the last call: since it ended
  bool receives = false;
};

struct GroupReport {
  std::uint64_t id = 0;
  std::uint64_t num_entered = 0;  // collectives, the one in progress included
  // The newest entered collectives, the oldest first: names of operations and sources.
  std::vector<std::string> operations;
  std::vector<std::string> sources;
  std::vector<int> members;  // ranks of the world
};

struct RankReport {
  std::vector<CallReport> calls;  // in progress
  CallReport last;                // the call that ended last
  std::vector<GroupReport> groups;
};

// Between machines of one kind: numbers travel in the host's byte order.
[[nodiscard]] std::vector<std::byte> encode(const RankReport& report);
[[nodiscard]] RankReport decode_report(std::span<const std::byte> bytes);  // throws kProtocol

}  // namespace finescale
