// SPDX-License-Identifier: Apache-2.0
// Every operation of a group against plain MPI.
#include <mpi.h>

#include <numeric>
#include <vector>

#include <gtest/gtest.h>

#include "comm/mpi/mpi_check.h"
#include "comm/mpi/mpi_group.h"
#include "comm/together.h"
#include "core/error.h"
#include "core/random.h"
#include "tests/comm/group_cases.h"
#include "tests/comm/mpi_main.h"

namespace finescale {
namespace {

std::vector<std::byte> bytes_of(int rank, std::size_t count, int salt) {
  std::vector<std::byte> bytes(count);
  for (std::size_t i = 0; i < count; ++i) {
    bytes[i] = static_cast<std::byte>(static_cast<std::size_t>(rank) * 31 + i * 7 +
                                      static_cast<std::size_t>(salt));
  }
  return bytes;
}

// Bytes that rank `from` sends to rank `to`: unequal on purpose, zero for one pair.
std::size_t pair_size(int from, int to) {
  return static_cast<std::size_t>(from * 5 + to * 3);
}

class MpiGroupTest : public testing::Test {
 protected:
  std::unique_ptr<Group> world_ = make_world_group();
};

TEST_F(MpiGroupTest, RankAndSizeAreThoseOfMpi) {
  int rank = -1;
  int size = -1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  EXPECT_EQ(world_->rank(), rank);
  EXPECT_EQ(world_->size(), size);
}

TEST_F(MpiGroupTest, BroadcastEqualsMpi) {
  for (int root = 0; root < world_->size(); ++root) {
    auto ours = bytes_of(world_->rank(), 1000, root);
    auto theirs = ours;
    world_->broadcast(ours.data(), ours.size(), root);
    MPI_Bcast(theirs.data(), static_cast<int>(theirs.size()), MPI_BYTE, root, MPI_COMM_WORLD);
    EXPECT_EQ(ours, theirs);
  }
  std::string text = world_->rank() == 0 ? "epoch 3" : "something longer";
  world_->broadcast(text, 0);
  EXPECT_EQ(text, "epoch 3");
}

TEST_F(MpiGroupTest, AllToAllEqualsMpi) {
  const int size = world_->size();
  const int me = world_->rank();
  std::vector<int> send_counts;
  std::vector<int> receive_counts;
  std::vector<int> send_places(1, 0);
  std::vector<int> receive_places(1, 0);
  for (int other = 0; other < size; ++other) {
    send_counts.push_back(static_cast<int>(pair_size(me, other)));
    receive_counts.push_back(static_cast<int>(pair_size(other, me)));
    send_places.push_back(send_places.back() + send_counts.back());
    receive_places.push_back(receive_places.back() + receive_counts.back());
  }
  const auto out = bytes_of(me, static_cast<std::size_t>(send_places.back()), 1);
  std::vector<std::byte> ours(static_cast<std::size_t>(receive_places.back()));
  auto theirs = ours;
  std::vector<std::span<const std::byte>> send;
  std::vector<std::span<std::byte>> receive;
  for (int other = 0; other < size; ++other) {
    const auto index = static_cast<std::size_t>(other);
    send.push_back(
        std::span(out).subspan(static_cast<std::size_t>(send_places[index]), pair_size(me, other)));
    receive.push_back(std::span(ours).subspan(static_cast<std::size_t>(receive_places[index]),
                                              pair_size(other, me)));
  }
  world_->all_to_all(send, receive);
  MPI_Alltoallv(out.data(), send_counts.data(), send_places.data(), MPI_BYTE, theirs.data(),
                receive_counts.data(), receive_places.data(), MPI_BYTE, MPI_COMM_WORLD);
  EXPECT_EQ(ours, theirs);
}

TEST_F(MpiGroupTest, AllGatherEqualsMpiAlsoInPlace) {
  const auto size = static_cast<std::size_t>(world_->size());
  const auto me = static_cast<std::size_t>(world_->rank());
  std::vector<int> counts;
  std::vector<int> places;
  std::vector<std::size_t> offsets(1, 0);
  for (std::size_t rank = 0; rank < size; ++rank) {
    counts.push_back(static_cast<int>(17 * rank));  // nothing from rank 0
    places.push_back(static_cast<int>(offsets.back()));
    offsets.push_back(offsets.back() + 17 * rank);
  }
  const auto part = bytes_of(world_->rank(), 17 * me, 2);
  std::vector<std::byte> ours(offsets.back());
  auto theirs = ours;
  auto in_place = ours;
  world_->all_gather(part, ours, offsets);
  MPI_Allgatherv(part.data(), static_cast<int>(part.size()), MPI_BYTE, theirs.data(), counts.data(),
                 places.data(), MPI_BYTE, MPI_COMM_WORLD);
  EXPECT_EQ(ours, theirs);
  std::copy(part.begin(), part.end(), in_place.begin() + static_cast<std::ptrdiff_t>(offsets[me]));
  world_->all_gather(std::span(in_place).subspan(offsets[me], part.size()), in_place, offsets);
  EXPECT_EQ(in_place, theirs);
}

TEST_F(MpiGroupTest, ConveniencesEqualMpi) {
  const double value = 1.5 * (world_->rank() - 1);
  double largest = 0;
  MPI_Allreduce(&value, &largest, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
  EXPECT_EQ(world_->max(value), largest);
  const std::int64_t count = (std::int64_t{1} << 40) + world_->rank();
  std::int64_t total = 0;
  MPI_Allreduce(&count, &total, 1, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD);
  EXPECT_EQ(world_->sum(count), total);
  EXPECT_TRUE(world_->any(world_->rank() == world_->size() - 1));
  EXPECT_FALSE(world_->any(false));
  world_->barrier();
}

TEST_F(MpiGroupTest, SplitEqualsMpi) {
  const int color = world_->rank() % 2;
  const int key = -world_->rank();  // reversed order
  const auto half = world_->split(color, key);
  MPI_Comm theirs = MPI_COMM_NULL;
  MPI_Comm_split(MPI_COMM_WORLD, color, key, &theirs);
  int rank = -1;
  int size = -1;
  MPI_Comm_rank(theirs, &rank);
  MPI_Comm_size(theirs, &size);
  MPI_Comm_free(&theirs);
  EXPECT_EQ(half->rank(), rank);
  EXPECT_EQ(half->size(), size);
  int leader = world_->rank();
  half->broadcast(&leader, sizeof(leader), 0);
  EXPECT_EQ(leader % 2, color);
  EXPECT_NE(native_communicator(*half), nullptr);
  EXPECT_EQ(native_communicator(*make_single_group()), nullptr);
}

TEST_F(MpiGroupTest, MessagesMatchBySenderAndTag) {
  check_messages_in_any_order(*world_);
  check_messages_keep_their_order(*world_);
}

TEST_F(MpiGroupTest, BytesSentFollowTheFormula) {
  check_bytes_sent(*world_);
}

TEST_F(MpiGroupTest, QueuesAndMainThreadCallAtOnce) {
  check_threads_at_once(*world_, 300);
}

TEST_F(MpiGroupTest, MailboxesDeliver) {
  check_mailbox(*world_);
}

TEST_F(MpiGroupTest, AnMpiErrorIsACommErrorWithItsExpression) {
  try {
    MPI_CHECK(
        MPI_Bcast(nullptr, -1, MPI_BYTE, 0, *static_cast<MPI_Comm*>(native_communicator(*world_))));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kComm);
    EXPECT_NE(error.message().find("MPI_Bcast"), std::string::npos);
  }
}

TEST_F(MpiGroupTest, AnErrorOfOneRankIsThrownOnAll) {
  const int failing = world_->size() - 1;
  try {
    run_together(*world_, [&] {
      if (world_->rank() == failing) {
        throw Error(ErrorKind::kResource, "no space", "here", "free some");
      }
    });
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kResource);
    EXPECT_EQ(error.message(), "no space");
    EXPECT_EQ(error.where(), "here");
    EXPECT_EQ(error.hint(), "free some");
  }
}

}  // namespace
}  // namespace finescale

int main(int argc, char** argv) {
  return finescale::run_mpi_tests(argc, argv);
}
