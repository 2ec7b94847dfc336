// SPDX-License-Identifier: Apache-2.0
#include "comm/mpi/mpi_mailbox.h"

#include <list>

#include "comm/mpi/mpi_check.h"

namespace finescale {

namespace {

constexpr int kTag = 0;

// One transfer under way. Its address is that which MPI knows.
struct Transfer {
  std::vector<std::byte> bytes;
  int peer = 0;
  MPI_Request request = MPI_REQUEST_NULL;

  [[nodiscard]] bool is_done() {
    int done = 0;
    MPI_CHECK(MPI_Test(&request, &done, MPI_STATUS_IGNORE));
    return done != 0;
  }
};

class MpiMailbox final : public Mailbox {
 public:
  explicit MpiMailbox(Communicator communicator) : communicator_(std::move(communicator)) {
    MPI_CHECK(MPI_Comm_set_errhandler(communicator_.get(), MPI_ERRORS_RETURN));
  }
  // What a stopped rank did not take keeps its memory: MPI may still read it.
  ~MpiMailbox() override {
    for (auto* transfers : {&sent_, &arriving_}) {
      for (Transfer& transfer : *transfers) {
        int done = 0;
        if (MPI_Test(&transfer.request, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS || done == 0) {
          static_cast<void>(std::make_unique<std::list<Transfer>>(std::move(*transfers)).release());
          break;
        }
      }
    }
  }

  void post(int to, std::span<const std::byte> bytes) override {
    sent_.remove_if([](Transfer& transfer) { return transfer.is_done(); });
    Transfer& transfer = sent_.emplace_back();
    transfer.bytes.assign(bytes.begin(), bytes.end());
    MPI_CHECK(MPI_Isend(transfer.bytes.data(), static_cast<int>(transfer.bytes.size()), MPI_BYTE,
                        to, kTag, communicator_.get(), &transfer.request));
  }

  [[nodiscard]] std::optional<Message> poll() override {
    sent_.remove_if([](Transfer& transfer) { return transfer.is_done(); });  // also progress
    int arrived = 1;
    while (arrived != 0) {
      MPI_Status status;
      MPI_CHECK(MPI_Iprobe(MPI_ANY_SOURCE, kTag, communicator_.get(), &arrived, &status));
      if (arrived != 0) {
        start_receive(status);
      }
    }
    for (auto transfer = arriving_.begin(); transfer != arriving_.end(); ++transfer) {
      if (transfer->is_done()) {
        Message message{transfer->peer, std::move(transfer->bytes)};
        arriving_.erase(transfer);
        return message;
      }
    }
    return std::nullopt;
  }

 private:
  // Not MPI_Recv: the sender may stop in the middle of a long message.
  void start_receive(const MPI_Status& status) {
    int size = 0;
    MPI_CHECK(MPI_Get_count(&status, MPI_BYTE, &size));
    Transfer& transfer = arriving_.emplace_back();
    transfer.bytes.resize(static_cast<std::size_t>(size));
    transfer.peer = status.MPI_SOURCE;
    MPI_CHECK(MPI_Irecv(transfer.bytes.data(), size, MPI_BYTE, transfer.peer, kTag,
                        communicator_.get(), &transfer.request));
  }

  Communicator communicator_;
  std::list<Transfer> sent_;
  std::list<Transfer> arriving_;
};

}  // namespace

std::unique_ptr<Mailbox> make_mpi_mailbox(MPI_Comm communicator) {
  MPI_Comm copy = MPI_COMM_NULL;
  MPI_CHECK(MPI_Comm_dup(communicator, &copy));
  return std::make_unique<MpiMailbox>(Communicator(copy));
}

}  // namespace finescale
