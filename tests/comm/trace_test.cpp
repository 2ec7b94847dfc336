// SPDX-License-Identifier: Apache-2.0
#include "comm/trace.h"

#include <unistd.h>

#include <filesystem>
#include <map>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "comm/comm_queue.h"
#include "comm/local/local_group.h"
#include "core/error.h"
#include "core/files.h"

namespace finescale {
namespace {

std::string trace_path(const char* name) {
  return testing::TempDir() + name + std::to_string(getpid()) + ".json";
}

TEST(Trace, MergesTheCallsAndSpansOfAllRanksIntoValidJson) {
  constexpr int kRounds = 6000;  // more events than are buffered
  const std::string path = trace_path("trace");
  run_local_ranks(3, [&](Group& world) {
    world.barrier();  // before the trace: not in it
    Trace trace(world, path);
    const auto group = world.split(0, world.rank(), "da\"ta\\");
    {
      CommQueue queue(&world.monitor());
      for (int i = 0; i < kRounds; ++i) {
        const TraceSpan span(world.monitor().trace(), "layer", i);
        queue.enqueue([&] { static_cast<void>(group->sum(1)); });
      }
      queue.wait_all();
    }
    trace.finish();
    world.barrier();  // after it
  });
  const auto json = nlohmann::json::parse(read_file(path));  // throws when it is not JSON
  std::map<std::string, int> counts;
  std::map<std::string, int> names;
  for (const auto& event : json.at("traceEvents")) {
    ++counts[event.at("name").get<std::string>() + std::to_string(event.at("pid").get<int>())];
    if (event.at("name") == "sum") {
      EXPECT_GE(event.at("dur").get<double>(), 0);
      EXPECT_EQ(event.at("args").at("group"), "da\"ta\\");
      EXPECT_EQ(event.at("args").at("bytes"), 16);
      EXPECT_EQ(event.at("args").at("source").get<std::string>().substr(0, 15), "trace_test.cpp:");
    } else if (event.at("ph") == "M") {
      ++names[event.at("args").at("name").get<std::string>()];
    }
  }
  for (const std::string rank : {"0", "1", "2"}) {
    EXPECT_EQ(counts["sum" + rank], kRounds);
    EXPECT_EQ(counts["layer" + rank], kRounds);
    EXPECT_EQ(counts["split" + rank], 1);
    EXPECT_EQ(counts["barrier" + rank], 0);
    EXPECT_FALSE(std::filesystem::exists(path + ".rank" + rank));
  }
  EXPECT_EQ(names["comm queue"], 3);
  std::filesystem::remove(path);
}

TEST(Trace, WithoutFinishEachRankLeavesAValidFile) {
  const std::string path = trace_path("unfinished");
  run_local_ranks(2, [&](Group& world) {
    const Trace trace(world, path);
    world.barrier();
  });
  for (const std::string rank : {"0", "1"}) {
    const auto json = nlohmann::json::parse(read_file(path + ".rank" + rank));
    EXPECT_EQ(json.back().at("name"), "barrier");
    std::filesystem::remove(path + ".rank" + rank);
  }
}

TEST(Trace, APlaceThatCannotBeWrittenIsAnErrorOnAllRanks) {
  run_local_ranks(2, [](Group& world) {
    EXPECT_THROW(Trace(world, "/nowhere/trace.json"), Error);
    EXPECT_EQ(world.monitor().trace(), nullptr);
  });
}

}  // namespace
}  // namespace finescale
