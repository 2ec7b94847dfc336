// SPDX-License-Identifier: Apache-2.0
#include "comm/mpi/mpi_group.h"

#include <algorithm>
#include <array>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "comm/mpi/mpi_check.h"
#include "comm/mpi/mpi_mailbox.h"
#include "core/error.h"

namespace finescale {

namespace {

// MPI counts are int: longer messages travel in pieces of 1 GiB.
constexpr std::size_t kPieceBytes = std::size_t{1} << 30;

int piece_size(std::size_t size_bytes, std::size_t begin) {
  return static_cast<int>(std::min(kPieceBytes, size_bytes - begin));
}

// Tags below are those of the pieces inside of all_to_all (1 TiB of one pair).
constexpr int kFirstMessageTag = 1024;

int rank_in(MPI_Comm communicator) {
  int rank = 0;
  MPI_CHECK(MPI_Comm_rank(communicator, &rank));
  return rank;
}

int size_of(MPI_Comm communicator) {
  int size = 1;
  MPI_CHECK(MPI_Comm_size(communicator, &size));
  return size;
}

class MpiGroup final : public Group {
 public:
  explicit MpiGroup(Communicator communicator)
      : Group(rank_in(communicator.get()), size_of(communicator.get())),
        communicator_(std::move(communicator)),
        comm_(communicator_.get()) {
    MPI_CHECK(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN));
  }
  [[nodiscard]] const MPI_Comm* communicator() const noexcept { return &comm_; }

 private:
  void do_barrier() override { MPI_CHECK(MPI_Barrier(comm_)); }

  void do_broadcast(void* data, std::size_t size_bytes, int root) override {
    auto* bytes = static_cast<std::byte*>(data);
    for (std::size_t begin = 0; begin < size_bytes; begin += kPieceBytes) {
      MPI_CHECK(MPI_Bcast(bytes + begin, piece_size(size_bytes, begin), MPI_BYTE, root, comm_));
    }
  }

  void do_all_to_all(std::span<const std::span<const std::byte>> send,
                     std::span<const std::span<std::byte>> receive) override {
    std::vector<MPI_Request>& requests = requests_;
    requests.clear();
    for (int step = 1; step < size(); ++step) {  // everyone starts with another partner
      post_receives((rank() - step + size()) % size(), receive, requests);
    }
    for (int step = 1; step < size(); ++step) {
      post_sends((rank() + step) % size(), send, requests);
    }
    const auto self = static_cast<std::size_t>(rank());
    if (!send[self].empty() && send[self].data() != receive[self].data()) {
      std::memcpy(receive[self].data(), send[self].data(), send[self].size());
    }
    MPI_CHECK(MPI_Waitall(static_cast<int>(requests.size()), requests.data(), MPI_STATUSES_IGNORE));
  }

  void do_all_gather(std::span<const std::byte> part, std::span<std::byte> whole,
                     std::span<const std::size_t> offsets_bytes) override {
    const auto self = static_cast<std::size_t>(rank());
    std::byte* own_place = whole.data() + offsets_bytes[self];
    if (!part.empty() && part.data() != own_place) {
      std::memcpy(own_place, part.data(), part.size());
    }
    if (offsets_bytes.back() <= INT_MAX) {
      counts_.resize(static_cast<std::size_t>(size()));
      places_.resize(static_cast<std::size_t>(size()));
      for (std::size_t from = 0; from < counts_.size(); ++from) {
        counts_[from] = static_cast<int>(offsets_bytes[from + 1] - offsets_bytes[from]);
        places_[from] = static_cast<int>(offsets_bytes[from]);
      }
      MPI_CHECK(MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, whole.data(), counts_.data(),
                               places_.data(), MPI_BYTE, comm_));
      return;
    }
    for (int from = 0; from < size(); ++from) {
      const auto index = static_cast<std::size_t>(from);
      do_broadcast(whole.data() + offsets_bytes[index],
                   offsets_bytes[index + 1] - offsets_bytes[index], from);
    }
  }

  // Pieces of one message have one tag: MPI keeps their order.
  void do_send(std::span<const std::byte> bytes, int to, int tag) override {
    std::size_t begin = 0;
    do {  // an empty message is a message
      MPI_CHECK(MPI_Send(bytes.data() + begin, piece_size(bytes.size(), begin), MPI_BYTE, to,
                         message_tag(tag), comm_));
      begin += kPieceBytes;
    } while (begin < bytes.size());
  }

  void do_receive(std::span<std::byte> bytes, int from, int tag) override {
    std::size_t begin = 0;
    do {
      const int expected = piece_size(bytes.size(), begin);
      MPI_Status status;
      MPI_CHECK(MPI_Recv(bytes.data() + begin, expected, MPI_BYTE, from, message_tag(tag), comm_,
                         &status));
      int count = 0;
      MPI_CHECK(MPI_Get_count(&status, MPI_BYTE, &count));
      FS_CHECK(count == expected, "send and receive of one message differ in size");
      begin += kPieceBytes;
    } while (begin < bytes.size());
  }

  [[nodiscard]] std::unique_ptr<Group> do_split(int color, int key) override {
    MPI_Comm part = MPI_COMM_NULL;
    MPI_CHECK(MPI_Comm_split(comm_, color, key, &part));
    return std::make_unique<MpiGroup>(Communicator(part));
  }

  [[nodiscard]] std::unique_ptr<Mailbox> do_open_mailbox() override {
    return make_mpi_mailbox(comm_);
  }

  [[noreturn]] void do_abort(int exit_code) override {
    MPI_Abort(MPI_COMM_WORLD, exit_code);
    std::_Exit(exit_code);  // MPI_Abort may return by its specification
  }

  [[nodiscard]] int message_tag(int tag) const {
    if (tag > largest_tag_ - kFirstMessageTag) {
      throw Error(ErrorKind::kComm,
                  "this MPI library has no room for message tag " + std::to_string(tag));
    }
    return kFirstMessageTag + tag;
  }
  [[nodiscard]] static int find_largest_tag() {
    int* value = nullptr;
    int found = 0;
    MPI_CHECK(MPI_Comm_get_attr(MPI_COMM_WORLD, MPI_TAG_UB, &value, &found));
    return found != 0 ? *value : 32767;  // the least that MPI promises
  }
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
  int largest_tag_ = find_largest_tag();
  // Kept: no allocation per call. One collective of a group at a time uses them.
  std::vector<MPI_Request> requests_;
  std::vector<int> counts_;
  std::vector<int> places_;
};

}  // namespace

MpiSession::MpiSession(int* argc, char*** argv) {
  int provided = MPI_THREAD_SINGLE;
  if (MPI_Init_thread(argc, argv, MPI_THREAD_MULTIPLE, &provided) != MPI_SUCCESS) {
    throw Error(ErrorKind::kLaunch, "MPI could not be initialised", {},
                "start with mpirun or srun");
  }
  if (provided < MPI_THREAD_MULTIPLE) {
    MPI_Finalize();
    throw Error(ErrorKind::kResource,
                "this MPI library does not allow calls from several threads (MPI_THREAD_MULTIPLE)",
                {}, "use an MPI built with thread support");
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

bool is_launched_rank() noexcept {
  // Open MPI, PMIx, PMI-1 and -2, Intel MPI and MPICH (Hydra), MVAPICH.
  constexpr std::array kVariables = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK",
                                     "MPI_LOCALRANKID", "MV2_COMM_WORLD_RANK"};
  return std::any_of(kVariables.begin(), kVariables.end(),
                     [](const char* name) { return std::getenv(name) != nullptr; });
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
