// SPDX-License-Identifier: Apache-2.0
#include "comm/group.h"

#include <algorithm>
#include <exception>
#include <numeric>
#include <utility>

#include "core/error.h"

namespace finescale {

namespace {

// All ranks of a group compute the same id from what they did alike. splitmix64.
std::uint64_t child_id(std::uint64_t parent, std::uint64_t sequence, int color) {
  std::uint64_t x = parent * 0x9e3779b97f4a7c15U + sequence * 0xbf58476d1ce4e5b9U +
                    static_cast<std::uint64_t>(static_cast<std::uint32_t>(color)) + 1;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

}  // namespace

Group::Group(int rank, int size)
    : rank_(rank),
      size_(size),
      monitor_(std::make_shared<CommMonitor>()),
      word_offsets_(static_cast<std::size_t>(size) + 1),
      words_(static_cast<std::size_t>(size)) {
  record_.id = 1;
  record_.name = "world";
  record_.members.resize(static_cast<std::size_t>(size));
  std::iota(record_.members.begin(), record_.members.end(), 0);
  for (std::size_t i = 0; i < word_offsets_.size(); ++i) {
    word_offsets_[i] = i * sizeof(Word);
  }
  monitor_->add(record_);
}

Group::Group(const Group* same_ranks) : Group(same_ranks->rank_, same_ranks->size_) {
  monitor_->remove(record_);
  monitor_ = same_ranks->monitor_;
  record_.id = child_id(same_ranks->record_.id, 0, -1);
  record_.name = same_ranks->record_.name;
  record_.members = same_ranks->record_.members;
  monitor_->add(record_);
}

Group::~Group() {
  monitor_->remove(record_);
}

Call Group::collective(const char* operation, std::uint64_t bytes, Where where) {
  Call call;
  call.operation = operation;
  call.group = &record_;
  call.bytes = bytes;
  call.where = where;
  return call;
}

Call Group::message(const char* operation, CallKind kind, int peer, int tag, Where where) {
  FS_CHECK(
      peer >= 0 && peer < size_ && peer != rank_,
      std::string(operation) + ": group " + name() + " has no other rank " + std::to_string(peer));
  FS_CHECK(tag >= 0 && tag <= kMaxTag, std::string(operation) + ": tag " + std::to_string(tag));
  Call call = collective(operation, 0, where);
  call.kind = kind;
  call.peer = record_.members[static_cast<std::size_t>(peer)];
  call.tag = tag;
  return call;
}

void Group::barrier(Where where) {
  const CallScope scope(*monitor_, collective("barrier", 0, where));
  do_barrier();
}

void Group::broadcast(void* data, std::size_t size_bytes, int root, Where where) {
  FS_CHECK(root >= 0 && root < size_,
           "broadcast: group " + name() + " has no rank " + std::to_string(root));
  const std::uint64_t bytes =
      root == rank_ ? size_bytes * static_cast<std::uint64_t>(size_ - 1) : 0;
  const CallScope scope(*monitor_, collective("broadcast", bytes, where));
  do_broadcast(data, size_bytes, root);
}

void Group::all_to_all(std::span<const std::span<const std::byte>> send,
                       std::span<const std::span<std::byte>> receive, Where where) {
  FS_CHECK(std::cmp_equal(send.size(), size_) && std::cmp_equal(receive.size(), size_),
           "all_to_all needs one span per rank");
  const auto self = static_cast<std::size_t>(rank_);
  FS_CHECK(send[self].size() == receive[self].size(), "all_to_all: own part changes its size");
  std::uint64_t bytes = 0;
  for (std::size_t to = 0; to < send.size(); ++to) {
    bytes += to == self ? 0 : send[to].size();
  }
  const CallScope scope(*monitor_, collective("all_to_all", bytes, where));
  do_all_to_all(send, receive);
}

void Group::all_gather(std::span<const std::byte> part, std::span<std::byte> whole,
                       std::span<const std::size_t> offsets_bytes, Where where) {
  FS_CHECK(std::cmp_equal(offsets_bytes.size(), size_ + 1), "all_gather needs size()+1 offsets");
  const auto self = static_cast<std::size_t>(rank_);
  FS_CHECK(part.size() == offsets_bytes[self + 1] - offsets_bytes[self] &&
               offsets_bytes.back() <= whole.size(),
           "all_gather: a part does not fit its offsets");
  const std::uint64_t bytes = part.size() * static_cast<std::uint64_t>(size_ - 1);
  const CallScope scope(*monitor_, collective("all_gather", bytes, where));
  do_all_gather(part, whole, offsets_bytes);
}

void Group::send(std::span<const std::byte> bytes, int to, int tag, Where where) {
  Call call = message("send", CallKind::kSend, to, tag, where);
  call.bytes = bytes.size();
  const CallScope scope(*monitor_, call);
  do_send(bytes, to, tag);
}

void Group::receive(std::span<std::byte> bytes, int from, int tag, Where where) {
  const CallScope scope(*monitor_, message("receive", CallKind::kReceive, from, tag, where));
  do_receive(bytes, from, tag);
}

std::unique_ptr<Group> Group::split(int color, int key, std::string name, Where where) {
  const CallScope scope(*monitor_, collective("split", 0, where));
  const std::uint64_t sequence = record_.num_begun[static_cast<std::size_t>(CallKind::kCollective)];
  std::unique_ptr<Group> child = do_split(color, key);
  const auto self = static_cast<std::size_t>(child->rank_);
  // Which ranks of the world they are: for messages to people, not counted as payload.
  child->words_[self].integer = record_.members[static_cast<std::size_t>(rank_)];
  child->gather_words();
  GroupRecord& record = child->record_;
  child->monitor_->remove(record);
  child->monitor_ = monitor_;
  for (std::size_t i = 0; i < record.members.size(); ++i) {
    record.members[i] = static_cast<int>(child->words_[i].integer);
  }
  record.id = child_id(record_.id, sequence, color);
  record.name = name.empty() ? this->name() + "/" + std::to_string(color) : std::move(name);
  monitor_->add(record);
  return child;
}

std::unique_ptr<Mailbox> Group::open_mailbox(Where where) {
  const CallScope scope(*monitor_, collective("open_mailbox", 0, where));
  return do_open_mailbox();
}

void Group::abort(int exit_code) {
  do_abort(exit_code);
  std::terminate();  // not reached; compilers do not see it through a virtual call
}

void Group::broadcast(std::string& text, int root, Where where) {
  std::uint64_t size = text.size();
  broadcast(&size, sizeof(size), root, where);
  text.resize(size);
  if (size > 0) {
    broadcast(text.data(), size, root, where);
  }
}

// One value of every rank, in rank order, so that what is computed from them has the same bits
// everywhere.
void Group::gather_words() {
  const auto words = std::as_writable_bytes(std::span(words_));
  const auto self = static_cast<std::size_t>(rank_);
  do_all_gather(words.subspan(self * sizeof(Word), sizeof(Word)), words, word_offsets_);
}

double Group::max(double value, Where where) {
  const std::uint64_t bytes = sizeof(Word) * static_cast<std::uint64_t>(size_ - 1);
  const CallScope scope(*monitor_, collective("max", bytes, where));
  words_[static_cast<std::size_t>(rank_)].real = value;
  gather_words();
  double largest = words_.front().real;
  for (const Word& word : words_) {
    largest = std::max(largest, word.real);
  }
  return largest;
}

std::int64_t Group::sum(std::int64_t value, Where where) {
  const std::uint64_t bytes = sizeof(Word) * static_cast<std::uint64_t>(size_ - 1);
  const CallScope scope(*monitor_, collective("sum", bytes, where));
  words_[static_cast<std::size_t>(rank_)].integer = value;
  gather_words();
  std::int64_t total = 0;
  for (const Word& word : words_) {
    total += word.integer;
  }
  return total;
}

bool Group::any(bool value, Where where) {
  return sum(value ? 1 : 0, where) > 0;
}

}  // namespace finescale
