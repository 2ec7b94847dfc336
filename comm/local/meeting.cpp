// SPDX-License-Identifier: Apache-2.0
#include "comm/local/meeting.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/error.h"

namespace finescale {

Meeting::Meeting(LocalJob* job, std::vector<int> members)
    : job_(job), members_(std::move(members)), slots_(members_.size()) {}

bool Meeting::has_left(int rank) const {
  return job_->left[static_cast<std::size_t>(members_[static_cast<std::size_t>(rank)])];
}

void Meeting::wait() {
  std::unique_lock lock(job_->mutex);
  if (job_->failed) {
    throw ReleasedByFailure{};
  }
  if (++arrived_ == static_cast<int>(members_.size())) {
    arrived_ = 0;
    ++generation_;
    job_->changed.notify_all();
    return;
  }
  const std::int64_t mine = generation_;
  const auto member_left = [&] {
    return std::any_of(members_.begin(), members_.end(), [&](int member) {
      return bool{job_->left[static_cast<std::size_t>(member)]};
    });
  };
  job_->changed.wait(lock, [&] { return generation_ != mine || job_->failed || member_left(); });
  if (generation_ != mine) {
    return;
  }
  if (job_->failed) {
    throw ReleasedByFailure{};
  }
  throw Error(ErrorKind::kComm, "a rank left while others wait for it in a collective");
}

Meeting::Letter* Meeting::find(int from, int to, int tag) const {
  const auto found = std::find_if(letters_.begin(), letters_.end(), [&](const Letter* letter) {
    return letter->from == from && letter->to == to && letter->tag == tag;
  });
  return found == letters_.end() ? nullptr : *found;
}

void Meeting::send(std::span<const std::byte> bytes, int from, int to, int tag) {
  Letter letter{bytes, from, to, tag};
  std::unique_lock lock(job_->mutex);
  letters_.push_back(&letter);
  job_->changed.notify_all();
  job_->changed.wait(lock, [&] { return letter.taken || job_->failed || has_left(to); });
  if (letter.taken) {
    FS_CHECK(letter.fits, "send and receive of one message differ in size");
    return;
  }
  letters_.erase(std::find(letters_.begin(), letters_.end(), &letter));
  if (job_->failed) {
    throw ReleasedByFailure{};
  }
  throw Error(ErrorKind::kComm, "a rank left while another sends to it");
}

void Meeting::receive(std::span<std::byte> bytes, int from, int to, int tag) {
  std::unique_lock lock(job_->mutex);
  Letter* letter = nullptr;
  job_->changed.wait(lock, [&] {
    letter = find(from, to, tag);
    return letter != nullptr || job_->failed || has_left(from);
  });
  if (job_->failed) {
    throw ReleasedByFailure{};
  }
  if (letter == nullptr) {
    throw Error(ErrorKind::kComm, "a rank left while another waits to receive from it");
  }
  letters_.erase(std::find(letters_.begin(), letters_.end(), letter));
  letter->fits = letter->bytes.size() == bytes.size();
  if (letter->fits && !bytes.empty()) {
    std::memcpy(bytes.data(), letter->bytes.data(), bytes.size());
  }
  letter->taken = true;
  const bool fits = letter->fits;  // the letter is gone once its sender runs
  job_->changed.notify_all();
  FS_CHECK(fits, "send and receive of one message differ in size");
}

std::shared_ptr<LocalBoxes> Meeting::boxes(std::uint64_t index) {
  const std::scoped_lock lock(job_->mutex);
  std::shared_ptr<LocalBoxes>& boxes = boxes_[index];
  if (!boxes) {
    boxes = std::make_shared<LocalBoxes>(members_.size());
  }
  return boxes;
}

}  // namespace finescale
