// SPDX-License-Identifier: Apache-2.0
// Every row is read once and every row of the table that gets something is written once. Additions
// alone: the same bits on every instruction set.
#include <algorithm>
#include <cstdint>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/embedding_backward.cpp"
#include "kernels/cpu/targets.h"
// clang-format off: foreach_target must come first
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include "core/parallel.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/isa.h"
#include "kernels/embedding.h"

#ifndef FINESCALE_KERNELS_CPU_EMBEDDING_CHAINS_
#define FINESCALE_KERNELS_CPU_EMBEDDING_CHAINS_
namespace finescale::cpu {
namespace {

// The places of each token as a chain: where it occurs first, and after each place the next one.
// Reused from call to call.
struct Chains {
  std::vector<std::int32_t> first;  // of the tokens that occur: num_first of them
  std::size_t num_first = 0;
  std::vector<std::int32_t> next;  // of place t at t + 1, kNoRow at the end

  [[nodiscard]] std::int32_t after(std::int32_t place) const {
    return next[static_cast<std::size_t>(place) + 1];
  }
};
static_assert(kNoRow == -1, "what comes after no place lies in front of the others");

}  // namespace
}  // namespace finescale::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace finescale::cpu::HWY_NAMESPACE {
namespace {

// Columns [begin, end) of one token's rows, summed in the nearest cache.
template <class T>
void add_chain(const Chains& chains, std::int32_t first, const TensorView& dy, T* __restrict to,
               std::int64_t begin, std::int64_t end) {
  const auto row = [&](std::int32_t t) { return dy.as<T>() + t * dy.row_stride; };
  const std::int32_t second = chains.after(first);
  const T* __restrict a = row(first);
  if (second == kNoRow) {
    for (std::int64_t c = begin; c < end; ++c) {
      to[c] += a[c];
    }
    return;
  }
  constexpr std::int64_t kColumns = 512;
  alignas(64) T sum[kColumns];
  for (std::int64_t at = begin; at < end; at += kColumns) {
    const std::int64_t width = std::min(kColumns, end - at);
    const T* __restrict b = row(second);
    for (std::int64_t c = 0; c < width; ++c) {
      sum[c] = a[at + c] + b[at + c];
    }
    for (std::int32_t t = chains.after(second); t != kNoRow; t = chains.after(t)) {
      const T* __restrict more = row(t) + at;
      for (std::int64_t c = 0; c < width; ++c) {
        sum[c] += more[c];
      }
    }
    for (std::int64_t c = 0; c < width; ++c) {
      to[at + c] += sum[c];
    }
  }
}

template <class T>
void add_columns(const Chains& chains, const TensorView& tokens, const TensorView& dy,
                 const TensorView& to, std::int64_t begin, std::int64_t end) {
  for (std::size_t i = 0; i < chains.num_first; ++i) {
    const std::int32_t first = chains.first[i];
    T* sum = to.as<T>() + tokens.as<std::int32_t>()[first] * to.row_stride;
    add_chain(chains, first, dy, sum, begin, end);
  }
}

void add_chains(const Chains& chains, const TensorView& tokens, const TensorView& dy,
                const TensorView& to, std::int64_t begin, std::int64_t end) {
  dy.dtype == DType::kF64 ? add_columns<double>(chains, tokens, dy, to, begin, end)
                          : add_columns<float>(chains, tokens, dy, to, begin, end);
}

}  // namespace
}  // namespace finescale::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace finescale::cpu {

HWY_EXPORT(add_chains);

namespace {

// Without branches on whether a token has occurred, which nobody can predict.
void chain_places(const TensorView& tokens, Chains& chains) {
  thread_local std::vector<std::int32_t> last_of;  // place by token, kNoRow between calls
  const std::int32_t* ids = tokens.as<std::int32_t>();
  const auto count = static_cast<std::int32_t>(tokens.num_elements());
  std::int32_t most = 0;
  for (std::int32_t t = 0; t < count; ++t) {
    most = std::max(most, ids[t]);
  }
  if (static_cast<std::size_t>(most) >= last_of.size()) {
    last_of.resize(static_cast<std::size_t>(most) + 1, kNoRow);
  }
  chains.first.resize(static_cast<std::size_t>(count) + 1);
  chains.next.assign(static_cast<std::size_t>(count) + 1, kNoRow);
  std::int32_t* const last = last_of.data();
  std::int32_t* const first = chains.first.data();
  std::int32_t* const next = chains.next.data() + 1;
  std::size_t num_first = 0;
  for (std::int32_t t = 0; t < count; ++t) {
    if (ids[t] == kNoRow) {
      continue;
    }
    const std::int32_t before = last[ids[t]];
    last[ids[t]] = t;
    next[before] = t;  // in front of all places when there was none
    first[num_first] = t;
    num_first += static_cast<std::size_t>(before == kNoRow);
  }
  chains.num_first = num_first;
  for (std::size_t i = 0; i < num_first; ++i) {
    last[ids[first[i]]] = kNoRow;
  }
}

}  // namespace

void embedding_backward(const Stream& /*stream*/, const TensorView& tokens, const TensorView& dy,
                        const TensorView& to) {
  thread_local Chains chains_of_thread;
  Chains& chains = chains_of_thread;  // this thread's, also for its team
  chain_places(tokens, chains);
  ensure_isa();
  parallel_for(dy.cols(), 32, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(add_chains)(chains, tokens, dy, to, begin, end);
  });
}

}  // namespace finescale::cpu
#endif
