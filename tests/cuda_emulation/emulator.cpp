// SPDX-License-Identifier: Apache-2.0
// One fiber per thread of a block; blocks one after another. A fiber runs until it must meet others
// (barrier, warp operation) or ends; the scheduler releases a meeting when all who must come are
// there. Blocks that cannot go on are errors.
#include <algorithm>
#include <array>
#include <exception>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <boost/context/detail/fcontext.hpp>

#include "tests/cuda_emulation/access.h"
#include "tests/cuda_emulation/emulator.h"
#include "tests/cuda_emulation/include/cuda_runtime.h"
#include "tests/cuda_emulation/stack.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#define FINESCALE_ASAN 1
#endif

// NOLINTBEGIN(cppcoreguidelines-avoid-non-const-global-variables): CUDA's own interface
uint3 threadIdx;
uint3 blockIdx;
dim3 blockDim;
dim3 gridDim;
// NOLINTEND(cppcoreguidelines-avoid-non-const-global-variables)

namespace finescale::cuda::emulation {

namespace {

namespace context = boost::context::detail;

constexpr std::size_t kFrameBytes = 1024 * 1024;  // frames of the test above a launch
constexpr unsigned kWarp = 32;

enum class State { kReady, kAtBarrier, kAtExchange, kDone };

struct Place {
  const char* file = "";
  int line = 0;
  friend bool operator==(const Place& a, const Place& b) {
    return a.line == b.line && std::strcmp(a.file, b.file) == 0;
  }
  [[nodiscard]] std::string text() const {
    const char* name = std::strrchr(file, '/');
    return std::string(name == nullptr ? file : name + 1) + ":" + std::to_string(line);
  }
};

struct Thread {
  Stack* stack = nullptr;
  context::fcontext_t self = nullptr;
  State state = State::kReady;
  uint3 index;
  Place place;
  unsigned mask = 0;
  unsigned from = 0;
  std::uint32_t barriers = 0;  // passed
  std::uint32_t warp_syncs = 0;
  Brought brought{};
  Brought received{};
  std::array<Brought, kWarp>* received_all = nullptr;  // where this is wanted
};

using Stacks = std::span<const std::unique_ptr<Stack>>;  // one per thread, for all blocks of a grid

class Block {
 public:
  Block(dim3 size, std::size_t shared_bytes, Kernel kernel, Stacks stacks)
      : kernel_(kernel), threads_(stacks.size()) {
    if (shared_bytes > 0) {
      dynamic_ = filled(shared_bytes);
    }
    std::size_t i = 0;
    for (unsigned z = 0; z < size.z; ++z) {
      for (unsigned y = 0; y < size.y; ++y) {
        for (unsigned x = 0; x < size.x; ++x) {
          Thread& thread = threads_[i];
          thread.stack = stacks[i++].get();
          thread.index = {x, y, z};
          thread.self = context::make_fcontext(thread.stack->top(), Stack::usable(), &enter);
        }
      }
    }
  }

  void run(Order order, std::mt19937_64& random) {
    std::vector<std::size_t> turns(threads_.size());
    std::iota(turns.begin(), turns.end(), std::size_t{0});
    if (order == Order::kReverse) {
      std::reverse(turns.begin(), turns.end());
    }
    for (;;) {
      if (order == Order::kRandom) {
        std::shuffle(turns.begin(), turns.end(), random);
      }
      bool any = false;
      for (const std::size_t i : turns) {
        if (threads_[i].state == State::kReady) {
          any = true;
          resume(i);
        }
      }
      any = release_exchanges() || any;
      any = release_barrier() || any;
      if (!any) {
        if (std::all_of(threads_.begin(), threads_.end(),
                        [](const Thread& t) { return t.state == State::kDone; })) {
          return;
        }
        throw std::runtime_error("the block cannot go on: " + where_everyone_is());
      }
    }
  }

  // Called by the running fiber.
  void wait(State state, Place place) {
    Thread& thread = threads_[current_];
    thread.state = state;
    thread.place = place;
    switch_to_scheduler(false);
  }
  [[nodiscard]] Thread& current() { return threads_[current_]; }
  [[nodiscard]] unsigned current_lane() const { return static_cast<unsigned>(current_) % kWarp; }
  void* shared(Place place, std::size_t size_bytes) {
    auto& held = shared_[{place.file, place.line}];
    if (held == nullptr) {
      held = filled(size_bytes);
    }
    return held.get();
  }
  void* dynamic() { return dynamic_.get(); }

  [[nodiscard]] Progress progress() const {
    const Thread& thread = threads_[current_];
    return {static_cast<std::uint32_t>(current_), thread.barriers, thread.warp_syncs};
  }
  [[nodiscard]] Space space_of(const void* address) const {
    const auto* byte = static_cast<const char*>(address);
    const Stack& stack = *threads_[current_].stack;
    if (byte >= stack.bottom() && byte < stack.top()) {
      return Space::kLocal;
    }
    for (const auto& [begin, end] : shared_ranges_) {
      if (byte >= begin && byte < end) {
        return Space::kShared;
      }
    }
    // The arguments lie above the frame of the launch, whose block this is.
    const auto* frame = reinterpret_cast<const char*>(this);
    const bool is_argument = byte >= frame && byte < frame + kFrameBytes;
    return is_argument || is_built_in(address) ? Space::kOutside : Space::kGlobal;
  }

 private:
  struct Free {
    void operator()(void* memory) const { std::free(memory); }  // NOLINT: exact size, aligned
  };
  using Memory = std::unique_ptr<void, Free>;

  Memory filled(std::size_t size_bytes) {
    Memory memory(std::malloc(size_bytes));       // NOLINT: as above
    std::memset(memory.get(), 0xFF, size_bytes);  // NaN in every floating type
    const auto* begin = static_cast<const char*>(memory.get());
    shared_ranges_.emplace_back(begin, begin + size_bytes);
    shared_bytes_ += size_bytes;
    if (shared_bytes_ > kMostSharedBytes) {
      throw std::runtime_error("a block has " + std::to_string(shared_bytes_) +
                               " bytes of shared memory; a GPU has " +
                               std::to_string(kMostSharedBytes));
    }
    return memory;
  }
  static bool is_built_in(const void* address) {
    const auto is_part_of = [address](const auto& variable) {
      return address >= &variable && address < &variable + 1;
    };
    return is_part_of(threadIdx) || is_part_of(blockIdx) || is_part_of(blockDim) ||
           is_part_of(gridDim);
  }

  static void enter(context::transfer_t transfer);

  void resume(std::size_t i) {
    current_ = i;
    threadIdx = threads_[i].index;
#ifdef FINESCALE_ASAN
    void* fake = nullptr;
    __sanitizer_start_switch_fiber(&fake, threads_[i].stack->bottom(), Stack::usable());
#endif
    const context::transfer_t back = context::jump_fcontext(threads_[i].self, this);
#ifdef FINESCALE_ASAN
    __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
    threads_[i].self = back.fctx;
    if (failure_ != nullptr) {
      std::rethrow_exception(std::exchange(failure_, nullptr));
    }
  }

  void switch_to_scheduler(bool for_good) {
#ifdef FINESCALE_ASAN
    void* fake = nullptr;
    __sanitizer_start_switch_fiber(for_good ? nullptr : &fake, scheduler_bottom_, scheduler_size_);
#else
    (void)for_good;
#endif
    const context::transfer_t again = context::jump_fcontext(scheduler_, nullptr);
#ifdef FINESCALE_ASAN
    __sanitizer_finish_switch_fiber(fake, &scheduler_bottom_, &scheduler_size_);
#endif
    scheduler_ = again.fctx;
  }

  // A barrier is passed when every thread of the block stands at the same one.
  bool release_barrier() {
    const auto first = std::find_if(threads_.begin(), threads_.end(),
                                    [](const Thread& t) { return t.state == State::kAtBarrier; });
    if (first == threads_.end()) {
      return false;
    }
    for (const Thread& thread : threads_) {
      if (thread.state == State::kReady || thread.state == State::kAtExchange) {
        return false;  // may still come; when nobody moves any more it is an error
      }
      if (thread.state == State::kDone) {
        throw std::runtime_error("a thread ended while others wait at a barrier: " +
                                 where_everyone_is());
      }
      if (!(thread.place == first->place)) {
        throw std::runtime_error("threads wait at different barriers: " + where_everyone_is());
      }
    }
    for (Thread& thread : threads_) {
      thread.state = State::kReady;
    }
    return true;
  }

  // A warp operation is done when every lane of its mask stands at it.
  bool release_exchanges() {
    bool any = false;
    for (std::size_t warp = 0; warp < threads_.size(); warp += kWarp) {
      const std::size_t lanes = std::min<std::size_t>(kWarp, threads_.size() - warp);
      for (std::size_t i = 0; i < lanes; ++i) {
        if (threads_[warp + i].state == State::kAtExchange && is_complete(warp, lanes, i)) {
          hand_over(warp, lanes, threads_[warp + i].mask);
          any = true;
        }
      }
    }
    return any;
  }

  [[nodiscard]] bool is_complete(std::size_t warp, std::size_t lanes, std::size_t i) const {
    const Thread& asking = threads_[warp + i];
    if ((asking.mask >> i & 1U) == 0) {
      throw std::runtime_error("a lane is not in its own mask: " + asking.place.text());
    }
    for (std::size_t other = 0; other < kWarp; ++other) {
      if ((asking.mask >> other & 1U) == 0) {
        continue;
      }
      if (other >= lanes || threads_[warp + other].state == State::kDone) {
        throw std::runtime_error("a lane of the mask has ended: " + where_everyone_is());
      }
      const Thread& thread = threads_[warp + other];
      if (thread.state != State::kAtExchange) {
        return false;
      }
      if (!(thread.place == asking.place) || thread.mask != asking.mask) {
        throw std::runtime_error("lanes of one mask are at different warp operations: " +
                                 where_everyone_is());
      }
    }
    return true;
  }

  void hand_over(std::size_t warp, std::size_t lanes, unsigned mask) {
    for (std::size_t i = 0; i < lanes; ++i) {
      Thread& thread = threads_[warp + i];
      if ((mask >> i & 1U) == 0) {
        continue;
      }
      if (thread.from >= kWarp || (mask >> thread.from & 1U) == 0) {
        throw std::runtime_error("a lane reads from outside the mask: " + thread.place.text());
      }
      thread.received = threads_[warp + thread.from].brought;
      for (std::size_t other = 0; thread.received_all != nullptr && other < lanes; ++other) {
        (*thread.received_all)[other] = threads_[warp + other].brought;
      }
    }
    for (std::size_t i = 0; i < lanes; ++i) {
      if ((mask >> i & 1U) != 0) {
        threads_[warp + i].state = State::kReady;
      }
    }
  }

  [[nodiscard]] std::string where_everyone_is() const {
    std::map<std::string, int> places;
    for (const Thread& thread : threads_) {
      switch (thread.state) {
        case State::kReady:
          ++places["running"];
          break;
        case State::kAtBarrier:
          ++places["barrier at " + thread.place.text()];
          break;
        case State::kAtExchange:
          ++places["warp operation at " + thread.place.text()];
          break;
        case State::kDone:
          ++places["ended"];
          break;
      }
    }
    std::string text;
    for (const auto& [place, count] : places) {
      text.append(text.empty() ? "" : ", ").append(std::to_string(count)).append(" ").append(place);
    }
    return text;
  }

  Kernel kernel_;
  std::vector<Thread> threads_;
  std::size_t current_ = 0;
  std::map<std::pair<std::string, int>, Memory> shared_;
  Memory dynamic_;
  std::vector<std::pair<const char*, const char*>> shared_ranges_;
  std::size_t shared_bytes_ = 0;
  context::fcontext_t scheduler_ = nullptr;
  std::exception_ptr failure_;  // of the thread that ran last
  [[maybe_unused]] const void* scheduler_bottom_ = nullptr;
  [[maybe_unused]] std::size_t scheduler_size_ = 0;
};

// NOLINTBEGIN(cppcoreguidelines-avoid-non-const-global-variables): what CUDA's free functions reach
Block* running = nullptr;
Order chosen_order = Order::kForward;
std::mt19937_64 chosen_random(1);
// NOLINTEND(cppcoreguidelines-avoid-non-const-global-variables)

// The block that runs, until it ends or fails.
class Running {
 public:
  explicit Running(Block* block) { running = block; }
  ~Running() { running = nullptr; }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
};

void Block::enter(context::transfer_t transfer) {
  Block& block = *static_cast<Block*>(transfer.data);
  block.scheduler_ = transfer.fctx;
#ifdef FINESCALE_ASAN
  __sanitizer_finish_switch_fiber(nullptr, &block.scheduler_bottom_, &block.scheduler_size_);
#endif
  try {
    block.kernel_.run(block.kernel_.self);
  } catch (...) {  // a fiber has nobody to throw to
    block.failure_ = std::current_exception();
  }
  block.current().state = State::kDone;
  block.switch_to_scheduler(true);
}

// CUDA C++ Programming Guide, "Technical Specifications per Compute Capability".
constexpr std::size_t kMostThreads = 1024;
constexpr unsigned kMostBlocksX = (1U << 31U) - 1;
constexpr unsigned kMostBlocksYz = 65535;

std::string text_of(dim3 size) {
  return std::to_string(size.x) + " x " + std::to_string(size.y) + " x " + std::to_string(size.z);
}

std::vector<dim3> blocks_in_order(dim3 grid) {
  std::vector<dim3> blocks;
  blocks.reserve(std::size_t{grid.x} * grid.y * grid.z);
  for (unsigned z = 0; z < grid.z; ++z) {
    for (unsigned y = 0; y < grid.y; ++y) {
      for (unsigned x = 0; x < grid.x; ++x) {
        blocks.emplace_back(x, y, z);
      }
    }
  }
  if (chosen_order == Order::kReverse) {
    std::reverse(blocks.begin(), blocks.end());
  } else if (chosen_order == Order::kRandom) {
    std::shuffle(blocks.begin(), blocks.end(), chosen_random);
  }
  return blocks;
}

}  // namespace

void set_order(Order order, unsigned long long seed) {
  chosen_order = order;
  chosen_random.seed(seed);
}

void run_blocks(dim3 grid, dim3 block, std::size_t shared_bytes, Kernel kernel) {
  const std::size_t num_threads = std::size_t{block.x} * block.y * block.z;
  if (num_threads == 0 || num_threads > kMostThreads || grid.x == 0 || grid.x > kMostBlocksX ||
      grid.y == 0 || grid.y > kMostBlocksYz || grid.z == 0 || grid.z > kMostBlocksYz) {
    throw std::runtime_error("no GPU runs a grid of " + text_of(grid) + " blocks of " +
                             text_of(block) + " threads");
  }
  gridDim = grid;
  blockDim = block;
  // Kept for the next launch: to map them takes longer than most kernels.
  thread_local std::vector<std::unique_ptr<Stack>> kept;
  while (kept.size() < num_threads) {
    kept.push_back(std::make_unique<Stack>());
  }
  const Stacks stacks = Stacks(kept).first(num_threads);
  for (const auto& stack : stacks) {
    stack->forget_frames();
  }
  access_launch_begins(kernel.function, stacks.size(), shared_bytes);
  for (const dim3 index : blocks_in_order(grid)) {
    blockIdx = {index.x, index.y, index.z};
    Block current(block, shared_bytes, kernel, stacks);
    const Running now(&current);
    current.run(chosen_order, chosen_random);
    access_block_ends();
  }
  access_launch_ends();
}

Space space_of(const void* address) {
  return running == nullptr ? Space::kOutside : running->space_of(address);
}

Progress running_thread() {
  return running->progress();
}

void barrier(const char* file, int line) {
  running->wait(State::kAtBarrier, {file, line});
  ++running->current().barriers;
}

void exchange(unsigned mask, const void* mine, void* theirs, std::size_t size_bytes, unsigned from,
              const char* file, int line) {
  Thread& thread = running->current();
  thread.mask = mask;
  thread.from = from;
  std::memcpy(thread.brought.data(), mine, size_bytes);
  running->wait(State::kAtExchange, {file, line});
  std::memcpy(theirs, thread.received.data(), size_bytes);
}

void meet_warp(const char* file, int line) {
  const unsigned nothing = 0;
  unsigned received;
  exchange(0xffffffffU, &nothing, &received, sizeof(nothing), lane(), file, line);
  ++running->current().warp_syncs;
}

void exchange_all(unsigned mask, const void* mine, std::size_t size_bytes,
                  std::array<Brought, 32>& theirs, const char* file, int line) {
  Thread& thread = running->current();
  Brought own;
  thread.received_all = &theirs;
  exchange(mask, mine, own.data(), size_bytes, lane(), file, line);
  thread.received_all = nullptr;
}

void* shared_array(const char* file, int line, std::size_t size_bytes) {
  return running->shared({file, line}, size_bytes);
}

void* dynamic_shared() {
  return running->dynamic();
}

unsigned lane() {
  return running->current_lane();
}

}  // namespace finescale::cuda::emulation
