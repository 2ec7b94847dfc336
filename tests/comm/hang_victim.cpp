// SPDX-License-Identifier: Apache-2.0
// A job that hangs or dies in a chosen way: hang_victim WAY RANK. Started by hang_job_test.
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "comm/mpi/mpi_group.h"
#include "comm/watchdog.h"

namespace {

void exchange_numbers(finescale::Group& group, int tag) {
  int value = 0;
  const int next = (group.rank() + 1) % group.size();
  if (group.rank() == 0) {
    group.send(std::as_bytes(std::span(&value, 1)), next, tag);
  } else if (group.rank() == 1) {
    group.receive(std::as_writable_bytes(std::span(&value, 1)), 0, tag);
  }
}

void run(finescale::Group& world, const std::string& way, int victim) {
  const auto data = world.split(0, world.rank(), "data");
  exchange_numbers(*data, 3);
  data->barrier();
  std::array<std::byte, 8> bytes{};
  if (world.rank() == victim) {
    if (way == "sleeps") {
      sleep(60);
    } else if (way == "stopped") {
      kill(getpid(), SIGSTOP);
    } else if (way == "killed") {
      kill(getpid(), SIGKILL);
    } else if (way == "other") {  // a collective that the others do not call
      data->receive(bytes, (victim + 1) % world.size(), 9);
    } else if (way == "mismatch") {
      data->broadcast(bytes.data(), bytes.size(), (victim + 1) % world.size());
    }
  }
  data->barrier();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    return 2;
  }
  const finescale::MpiSession session(&argc, &argv);
  const auto world = finescale::make_world_group();
  finescale::WatchdogOptions options;
  options.timeout_s = 1;
  options.answer_s = 1;
  const finescale::Watchdog watchdog(*world, options);
  try {
    run(*world, argv[1], std::atoi(argv[2]));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "rank %d: %s\n", world->rank(), error.what());
    world->abort(9);
  }
  return 0;
}
