// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/async_writer.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "comm/together.h"
#include "core/error.h"
#include "core/parallel.h"

namespace finescale {

namespace {

constexpr std::size_t kAlignBytes = 64;
constexpr std::int64_t kCopyBytes = std::int64_t{1} << 20;  // what one thread takes at a time

std::size_t snapshot_bytes(const CheckpointTensor& tensor) {
  const std::size_t bytes = tensor.writes ? tensor.local.size_bytes() : 0;
  return (bytes + kAlignBytes - 1) / kAlignBytes * kAlignBytes;
}

std::size_t snapshot_bytes(const std::vector<CheckpointTensor>& tensors) {
  std::size_t total = 0;
  for (const CheckpointTensor& tensor : tensors) {
    total += snapshot_bytes(tensor);
  }
  return total;
}

// Past the caches, as memcpy does for sizes that a tensor seldom has: half of the memory's traffic
// less, and training finds its own data in the caches afterwards. `to` is aligned.
void stream(std::byte* to, const std::byte* from, std::size_t size) {
  std::size_t done = 0;
#ifdef __SSE2__
  for (; done + kAlignBytes <= size; done += kAlignBytes) {
    const auto* source = reinterpret_cast<const __m128i*>(from + done);
    auto* target = reinterpret_cast<__m128i*>(to + done);
    for (int i = 0; i < 4; ++i) {
      _mm_stream_si128(target + i, _mm_loadu_si128(source + i));
    }
  }
  _mm_sfence();
#endif
  std::memcpy(to + done, from + done, size - done);
}

void copy(std::byte* to, const std::byte* from, std::size_t size) {
  const auto lines = static_cast<std::int64_t>((size + kAlignBytes - 1) / kAlignBytes);
  parallel_for(lines, kCopyBytes / static_cast<std::int64_t>(kAlignBytes),
               [&](std::int64_t begin, std::int64_t end) {
                 const std::size_t first = static_cast<std::size_t>(begin) * kAlignBytes;
                 const std::size_t last =
                     std::min(size, static_cast<std::size_t>(end) * kAlignBytes);
                 stream(to + first, from + first, last - first);
               });
}

}  // namespace

struct AsyncCheckpointWriter::Memory {
  std::byte* data = nullptr;
  std::size_t size = 0;

  Memory() = default;
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() { release(); }
  void release() noexcept {
    if (data != nullptr) {
      ::munmap(data, size);
    }
    data = nullptr;
    size = 0;
  }
  // Touches every page: the system would else do it while training waits for the copy.
  void grow(std::size_t bytes) {
    if (bytes <= size) {
      return;
    }
    release();
    void* pages =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) {
      throw Error(ErrorKind::kResource, "no memory for the snapshot of a checkpoint: " +
                                            std::to_string(bytes) + " bytes");
    }
    data = static_cast<std::byte*>(pages);
    size = bytes;
    ::madvise(data, size, MADV_HUGEPAGE);  // fewer misses in the copy; not offered everywhere
    parallel_for(static_cast<std::int64_t>(size), kCopyBytes,
                 [&](std::int64_t begin, std::int64_t end) {
                   std::memset(data + begin, 0, static_cast<std::size_t>(end - begin));
                 });
  }
};

AsyncCheckpointWriter::AsyncCheckpointWriter(Group& group, Write write)
    : group_(group.split(0, group.rank())),
      write_(std::move(write)),
      memory_(std::make_unique<Memory>()),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

AsyncCheckpointWriter::~AsyncCheckpointWriter() = default;  // the thread ends what it has begun

void AsyncCheckpointWriter::write_snapshot() {
  run_together(*group_, [&] {
    if (refused_) {
      std::rethrow_exception(refused_);
    }
  });
  run_together(*group_, [&] { write_(*group_, path_, state_, tensors_); });
}

void AsyncCheckpointWriter::run(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, stop, [&] { return busy_; });
    if (!busy_) {
      return;
    }
    lock.unlock();
    std::exception_ptr error;
    try {
      write_snapshot();
    } catch (...) {  // of every type: a group of threads releases its ranks by one of its own
      error = std::current_exception();
    }
    lock.lock();
    error_ = error;
    busy_ = false;
    changed_.notify_all();
  }
}

void AsyncCheckpointWriter::reserve(const std::vector<CheckpointTensor>& tensors) {
  wait();
  memory_->grow(snapshot_bytes(tensors));
}

void AsyncCheckpointWriter::take_snapshot(const std::vector<CheckpointTensor>& tensors) {
  for (const CheckpointTensor& tensor : tensors) {
    FS_CHECK(tensor.local.is_dense(), tensor.path + ": the memory does not hold the range");
  }
  memory_->grow(snapshot_bytes(tensors));
  tensors_ = tensors;
  std::byte* next = memory_->data;
  for (CheckpointTensor& tensor : tensors_) {
    if (tensor.writes && tensor.local.num_elements() > 0) {
      copy(next, tensor.local.as<const std::byte>(), tensor.local.size_bytes());
      tensor.local.data = next;
      next += snapshot_bytes(tensor);
    } else {
      tensor.local.data = nullptr;
    }
  }
}

void AsyncCheckpointWriter::start(const std::string& path, const CheckpointState& state,
                                  const std::vector<CheckpointTensor>& tensors) {
  wait();
  try {
    refused_ = nullptr;
    take_snapshot(tensors);
  } catch (...) {
    refused_ = std::current_exception();
  }
  path_ = path;
  state_ = state;
  const std::scoped_lock lock(mutex_);
  busy_ = true;
  changed_.notify_all();
}

void AsyncCheckpointWriter::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !busy_; });
  if (error_) {
    std::rethrow_exception(std::exchange(error_, nullptr));
  }
}

bool AsyncCheckpointWriter::busy() {
  const std::scoped_lock lock(mutex_);
  return busy_;
}

}  // namespace finescale
