// SPDX-License-Identifier: Apache-2.0
#include "comm/mpi/mpi_group.h"

#include <algorithm>
#include <climits>
#include <cstring>
#include <utility>
#include <vector>

#include "comm/mpi/mpi_check.h"
#include "core/error.h"

namespace finescale {

namespace {

// MPI counts are int: longer messages travel in pieces of 1 GiB.
constexpr std::size_t kPieceBytes = std::size_t{1} << 30;

int piece_size(std::size_t size_bytes, std::size_t begin) {
  return static_cast<int>(std::min(kPieceBytes, size_bytes - begin));
}

class MpiGroup final : public Group {
 public:
  explicit MpiGroup(Communicator communicator) : communicator_(std::move(communicator)) {
    comm_ = communicator_.get();
    MPI_CHECK(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN));
    MPI_CHECK(MPI_Comm_rank(comm_, &rank_));
    MPI_CHECK(MPI_Comm_size(comm_, &size_));
  }
  [[nodiscard]] int rank() const noexcept override { return rank_; }
  [[nodiscard]] int size() const noexcept override { return size_; }
  [[nodiscard]] const MPI_Comm* communicator() const noexcept { return &comm_; }

  void barrier() override { MPI_CHECK(MPI_Barrier(comm_)); }

  void broadcast(void* data, std::size_t size_bytes, int root) override {
    auto* bytes = static_cast<std::byte*>(data);
    for (std::size_t begin = 0; begin < size_bytes; begin += kPieceBytes) {
      MPI_CHECK(MPI_Bcast(bytes + begin, piece_size(size_bytes, begin), MPI_BYTE, root, comm_));
    }
  }

  void all_to_all(std::span<const std::span<const std::byte>> send,
                  std::span<const std::span<std::byte>> receive) override {
    FS_CHECK(std::cmp_equal(send.size(), size_) && std::cmp_equal(receive.size(), size_),
             "all_to_all needs one span per rank");
    std::vector<MPI_Request> requests;
    for (int step = 1; step < size_; ++step) {  // everyone starts with another partner
      post_receives((rank_ - step + size_) % size_, receive, requests);
    }
    for (int step = 1; step < size_; ++step) {
      post_sends((rank_ + step) % size_, send, requests);
    }
    const auto self = static_cast<std::size_t>(rank_);
    FS_CHECK(send[self].size() == receive[self].size(), "all_to_all: own part changes its size");
    if (!send[self].empty() && send[self].data() != receive[self].data()) {
      std::memcpy(receive[self].data(), send[self].data(), send[self].size());
    }
    MPI_CHECK(MPI_Waitall(static_cast<int>(requests.size()), requests.data(), MPI_STATUSES_IGNORE));
  }

  void all_gather(std::span<const std::byte> part, std::span<std::byte> whole,
                  std::span<const std::size_t> offsets_bytes) override {
    FS_CHECK(std::cmp_equal(offsets_bytes.size(), size_ + 1), "all_gather needs size()+1 offsets");
    const auto self = static_cast<std::size_t>(rank_);
    FS_CHECK(part.size() == offsets_bytes[self + 1] - offsets_bytes[self] &&
                 offsets_bytes.back() <= whole.size(),
             "all_gather: a part does not fit its offsets");
    std::byte* own_place = whole.data() + offsets_bytes[self];
    if (!part.empty() && part.data() != own_place) {
      std::memcpy(own_place, part.data(), part.size());
    }
    if (offsets_bytes.back() <= INT_MAX) {
      std::vector<int> counts(static_cast<std::size_t>(size_));
      std::vector<int> places(static_cast<std::size_t>(size_));
      for (std::size_t from = 0; from < counts.size(); ++from) {
        counts[from] = static_cast<int>(offsets_bytes[from + 1] - offsets_bytes[from]);
        places[from] = static_cast<int>(offsets_bytes[from]);
      }
      MPI_CHECK(MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, whole.data(), counts.data(),
                               places.data(), MPI_BYTE, comm_));
      return;
    }
    for (int from = 0; from < size_; ++from) {
      const auto index = static_cast<std::size_t>(from);
      broadcast(whole.data() + offsets_bytes[index],
                offsets_bytes[index + 1] - offsets_bytes[index], from);
    }
  }

  [[nodiscard]] std::unique_ptr<Group> split(int color, int key) override {
    MPI_Comm part = MPI_COMM_NULL;
    MPI_CHECK(MPI_Comm_split(comm_, color, key, &part));
    return std::make_unique<MpiGroup>(Communicator(part));
  }

  [[noreturn]] void abort(int exit_code) override {
    MPI_Abort(MPI_COMM_WORLD, exit_code);
    std::_Exit(exit_code);  // MPI_Abort may return by its specification
  }

 private:
  // The tag is the number of the piece: pieces of one pair may complete in any order.
  void post_receives(int from, std::span<const std::span<std::byte>> receive,
                     std::vector<MPI_Request>& requests) {
    const auto part = receive[static_cast<std::size_t>(from)];
    int tag = 0;
    for (std::size_t begin = 0; begin < part.size(); begin += kPieceBytes) {
      MPI_CHECK(MPI_Irecv(part.data() + begin, piece_size(part.size(), begin), MPI_BYTE, from,
                          tag++, comm_, &requests.emplace_back(MPI_REQUEST_NULL)));
    }
  }
  void post_sends(int to, std::span<const std::span<const std::byte>> send,
                  std::vector<MPI_Request>& requests) {
    const auto part = send[static_cast<std::size_t>(to)];
    int tag = 0;
    for (std::size_t begin = 0; begin < part.size(); begin += kPieceBytes) {
      MPI_CHECK(MPI_Isend(part.data() + begin, piece_size(part.size(), begin), MPI_BYTE, to, tag++,
                          comm_, &requests.emplace_back(MPI_REQUEST_NULL)));
    }
  }

  Communicator communicator_;
  MPI_Comm comm_ = MPI_COMM_NULL;  // the handle of communicator_, addressable
  int rank_ = 0;
  int size_ = 1;
};

}  // namespace

MpiSession::MpiSession(int* argc, char*** argv) {
  int provided = MPI_THREAD_SINGLE;
  if (MPI_Init_thread(argc, argv, MPI_THREAD_SERIALIZED, &provided) != MPI_SUCCESS) {
    throw Error(ErrorKind::kLaunch, "MPI could not be initialised", {},
                "start with mpirun or srun");
  }
  if (provided < MPI_THREAD_SERIALIZED) {
    throw Error(ErrorKind::kResource, "this MPI library offers less than MPI_THREAD_SERIALIZED", {},
                "use an MPI built with thread support");
  }
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
}

MpiSession::~MpiSession() {
  int finalized = 0;
  MPI_Finalized(&finalized);
  if (finalized == 0) {
    MPI_Finalize();
  }
}

std::unique_ptr<Group> make_world_group() {
  MPI_Comm copy = MPI_COMM_NULL;
  MPI_CHECK(MPI_Comm_dup(MPI_COMM_WORLD, &copy));
  return std::make_unique<MpiGroup>(Communicator(copy));
}

void* native_communicator(const Group& group) {
  const auto* mpi = dynamic_cast<const MpiGroup*>(&group);
  return mpi == nullptr ? nullptr : const_cast<MPI_Comm*>(mpi->communicator());
}

}  // namespace finescale
