// SPDX-License-Identifier: Apache-2.0
#include "comm/nccl/nccl_group.h"

#include <exception>
#include <utility>

#include "comm/nccl/nccl_channel.h"
#include "core/error.h"

namespace finescale {

namespace {

// Calls that must make progress together.
class Together {
 public:
  explicit Together(int rank) : rank_(rank) { NCCL_CHECK(rank_, nccl().group_start()); }
  ~Together() {
    if (!is_ended_) {  // something threw
      (void)nccl().group_end();
    }
  }
  Together(const Together&) = delete;
  Together& operator=(const Together&) = delete;
  void end() {
    is_ended_ = true;
    NCCL_CHECK(rank_, nccl().group_end());
  }

 private:
  int rank_;
  bool is_ended_ = false;
};

}  // namespace

class NcclGroup final : public Group {
 public:
  NcclGroup(std::unique_ptr<Group> host, std::shared_ptr<NcclWorld> world, ncclComm_t comm)
      : Group(host.get()), host_(std::move(host)), world_(std::move(world)), comm_(comm) {
    world_->add(comm_);
  }
  ~NcclGroup() override { world_->destroy(comm_, world_->collectives()); }
  NcclGroup(const NcclGroup&) = delete;
  NcclGroup& operator=(const NcclGroup&) = delete;

  // A part of two ranks, null on the others. Collective.
  [[nodiscard]] std::unique_ptr<GpuChannel> open_channel(int from, int to) {
    const bool is_end = rank() == from || rank() == to;
    ncclComm_t made = nullptr;
    NCCL_CHECK(rank(), nccl().split(comm_, is_end ? 0 : NCCL_SPLIT_NOCOLOR, rank() == from ? 0 : 1,
                                    &made, nullptr));
    return is_end ? std::make_unique<NcclChannel>(world_, made) : nullptr;
  }

 private:
  [[nodiscard]] bool on_gpu(const void* data) const { return world_->gpu().holds(data); }

  void do_barrier() override { host_->do_barrier(); }

  void do_broadcast(void* data, std::size_t size_bytes, int root) override {
    if (!on_gpu(data)) {
      host_->do_broadcast(data, size_bytes, root);
      return;
    }
    const GpuRange range = world_->range("broadcast");
    world_->begin();
    NCCL_CHECK(rank(),
               nccl().broadcast(data, data, size_bytes, ncclInt8, root, comm_, world_->stream()));
    world_->end();
  }

  // A rank with nothing to exchange, that is with nobody, has nothing to do: it cannot know where
  // the data of the others lie.
  void do_all_to_all(std::span<const std::span<const std::byte>> send,
                     std::span<const std::span<std::byte>> receive) override {
    const void* data = nullptr;
    for (std::size_t peer = 0; peer < send.size(); ++peer) {
      data = !send[peer].empty()      ? send[peer].data()
             : !receive[peer].empty() ? receive[peer].data()
                                      : data;
    }
    if (data != nullptr && on_gpu(data)) {
      exchange(send, receive);
    } else if (data != nullptr) {
      host_->do_all_to_all(send, receive);
    }
  }

  void exchange(std::span<const std::span<const std::byte>> send,
                std::span<const std::span<std::byte>> receive) {
    const GpuRange range = world_->range("exchange");
    world_->begin();
    Together together(rank());
    for (int peer = 0; peer < size(); ++peer) {
      const auto p = static_cast<std::size_t>(peer);
      if (peer == rank()) {
        continue;
      }
      if (!send[p].empty()) {
        NCCL_CHECK(rank(), nccl().send(send[p].data(), send[p].size(), ncclInt8, peer, comm_,
                                       world_->stream()));
      }
      if (!receive[p].empty()) {
        NCCL_CHECK(rank(), nccl().receive(receive[p].data(), receive[p].size(), ncclInt8, peer,
                                          comm_, world_->stream()));
      }
    }
    together.end();
    world_->end();
    const auto self = static_cast<std::size_t>(rank());
    if (!send[self].empty() && send[self].data() != receive[self].data()) {
      const std::size_t bytes = send[self].size();
      world_->gpu().copy_on_device(send[self].data(), bytes, receive[self].data(), bytes, bytes, 1);
    }
  }

  void do_all_gather(std::span<const std::byte> part, std::span<std::byte> whole,
                     std::span<const std::size_t> offsets_bytes) override {
    if (whole.empty() || !on_gpu(whole.data())) {
      host_->do_all_gather(part, whole, offsets_bytes);
      return;
    }
    bool is_even = true;
    for (std::size_t r = 0; r + 1 < offsets_bytes.size(); ++r) {
      is_even = is_even && offsets_bytes[r + 1] - offsets_bytes[r] == part.size();
    }
    const GpuRange range = world_->range("all-gather");
    world_->begin();
    if (is_even) {
      NCCL_CHECK(rank(), nccl().all_gather(part.data(), whole.data() + offsets_bytes[0],
                                           part.size(), ncclInt8, comm_, world_->stream()));
    } else {
      gather_uneven(part, whole, offsets_bytes);
    }
    world_->end();
  }

  void gather_uneven(std::span<const std::byte> part, std::span<std::byte> whole,
                     std::span<const std::size_t> offsets_bytes) {
    Together together(rank());
    for (int root = 0; root < size(); ++root) {
      const auto r = static_cast<std::size_t>(root);
      const std::size_t bytes = offsets_bytes[r + 1] - offsets_bytes[r];
      std::byte* const to = whole.data() + offsets_bytes[r];
      if (bytes > 0) {
        NCCL_CHECK(rank(), nccl().broadcast(root == rank() ? part.data() : to, to, bytes, ncclInt8,
                                            root, comm_, world_->stream()));
      }
    }
    together.end();
  }

  void do_send(std::span<const std::byte> bytes, int to, int tag) override {
    refuse(bytes.data());
    host_->do_send(bytes, to, tag);
  }
  void do_receive(std::span<std::byte> bytes, int from, int tag) override {
    refuse(bytes.data());
    host_->do_receive(bytes, from, tag);
  }
  void refuse(const void* data) const {  // NCCL knows no tags
    FS_CHECK(!on_gpu(data), "messages between GPUs go by channels");
  }

  [[nodiscard]] std::unique_ptr<Group> do_split(int color, int key) override {
    std::unique_ptr<Group> part = host_->do_split(color, key);
    ncclComm_t made = nullptr;
    NCCL_CHECK(rank(), nccl().split(comm_, color, key, &made, nullptr));
    return std::make_unique<NcclGroup>(std::move(part), world_, made);
  }
  [[nodiscard]] std::unique_ptr<Mailbox> do_open_mailbox() override {
    return host_->do_open_mailbox();
  }
  [[noreturn]] void do_abort(int exit_code) override {
    host_->do_abort(exit_code);
    std::terminate();  // not reached; compilers do not see it through a virtual call
  }

  std::unique_ptr<Group> host_;
  // shared: its groups end in any order.
  std::shared_ptr<NcclWorld> world_;
  ncclComm_t comm_;
};

std::unique_ptr<Group> make_nccl_group(std::unique_ptr<Group> host, Gpu& gpu) {
  auto world = std::make_shared<NcclWorld>(gpu, host->rank());
  ncclUniqueId id{};
  if (host->rank() == 0) {
    NCCL_CHECK(0, nccl().unique_id(&id));
  }
  host->broadcast(&id, sizeof id, 0);
  ncclComm_t comm = nullptr;
  NCCL_CHECK(host->rank(), nccl().init_rank(&comm, host->size(), id, host->rank()));
  return std::make_unique<NcclGroup>(std::move(host), std::move(world), comm);
}

std::unique_ptr<GpuChannel> open_gpu_channel(Group& group, int from, int to) {
  auto* gpus = dynamic_cast<NcclGroup*>(&group);
  FS_CHECK(gpus != nullptr && from != to, "a channel is between two GPUs of a group of GPUs");
  return gpus->open_channel(from, to);
}

}  // namespace finescale
