// SPDX-License-Identifier: Apache-2.0
// One block per row, and no sort: what a sort would be asked for (the k-th score, the score at
// which probabilities reach p, the token at which they pass a random number) is found by bisection
// on the bits of the scores, two at a time, with counts or sums of the row in a fixed order. Score
// means a logit after the penalty: dividing by the temperature keeps their order. Letters: R rows,
// V vocabulary.
#include "kernels/sampling.h"

#include <cmath>

#include "kernels/cuda/block_sum.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/storage.h"

namespace finescale::cuda {

namespace {

constexpr int kThreads = 512;
constexpr int kWarps = kThreads / static_cast<int>(kWarp);

// Numbers in the order of the scores.
using Key = unsigned long long;

__device__ __forceinline__ Key key_of(float score) {
  const unsigned bits = __float_as_uint(score + 0.0F);  // -0 equals 0
  return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}
__device__ __forceinline__ Key key_of(double score) {
  score += 0.0;
  Key bits = 0;
  memcpy(&bits, &score, sizeof bits);
  return bits >> 63 != 0 ? ~bits : bits | 1ULL << 63;
}
__device__ __forceinline__ void score_of(Key key, float& score) {
  const auto bits = static_cast<unsigned>(key);
  score = __uint_as_float((bits & 0x80000000U) != 0 ? bits & 0x7FFFFFFFU : ~bits);
}
__device__ __forceinline__ void score_of(Key key, double& score) {
  const Key bits = key >> 63 != 0 ? key & ~(1ULL << 63) : ~key;
  memcpy(&score, &bits, sizeof score);
}

// What a block adds up goes through one half of it, then the other: one barrier is enough.
struct Meeting {
  double (*parts)[4][kWarps];  // [2]
  int half = 0;

  // Sums over the block, in the order of the warps; every thread gets them.
  template <int kCount>
  __device__ __forceinline__ void sum(double (&values)[kCount]) {
    double(&own)[4][kWarps] = parts[half];
    half = 1 - half;
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      values[i] = warp_sum(values[i]);
      if (threadIdx.x % kWarp == 0) {
        own[i][threadIdx.x / kWarp] = values[i];
      }
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      values[i] = 0;
#pragma unroll 4  // more loads in flight would spill
      for (int warp = 0; warp < kWarps; ++warp) {
        values[i] += own[i][warp];
      }
    }
  }
};

// A row and what is left of it.
template <class S>
struct Row {
  const S* logits;
  std::int64_t width;  // V
  S top;               // the largest score
  S factor;            // 1 / temperature
  Key least;           // smaller scores are out
  float least_weight;  // as are those that weigh less than this

  // In the unit of the largest probability.
  [[nodiscard]] __device__ __forceinline__ float weight(S score) const {
    return expf(static_cast<float>((score - top) * factor));
  }
  // 0: it is out.
  [[nodiscard]] __device__ __forceinline__ double kept(S score) const {
    if (key_of(score) < least) {
      return 0;
    }
    const float own = weight(score);
    return own < least_weight ? 0 : own;
  }
};

struct Place {
  Key key;
  double above;  // the measure of all larger scores
  double here;   // and of those with this one
};

// The largest score such that the measures of it and of all larger ones reach a target; the
// smallest that counts when none does.
template <class S, class Measure, class Reaches>
__device__ Place find_score(const Row<S>& row, Meeting& meeting, const Measure& measure,
                            const Reaches& reaches) {
  Place place = {0, 0, 0};
  for (int shift = 8 * static_cast<int>(sizeof(S)) - 2; shift >= 0; shift -= 2) {
    double sums[4] = {};
    for (std::int64_t v = threadIdx.x; v < row.width; v += kThreads) {
      const S score = row.logits[v];
      const Key digits = key_of(score) >> shift;
      if (digits >> 2 == place.key >> shift >> 2) {
        const double own = measure(score);
        const auto digit = static_cast<int>(digits & 3U);
#pragma unroll
        for (int d = 0; d < 4; ++d) {  // an index would put the sums into memory
          sums[d] += digit == d ? own : 0;
        }
      }
    }
    meeting.sum(sums);
    double before = place.above;
    bool is_found = false;
    Key chosen = 0;
#pragma unroll
    for (int d = 3; d >= 0; --d) {
      if (!is_found && sums[d] > 0) {
        chosen = static_cast<Key>(d);
        place.above = before;
        place.here = sums[d];
        before += sums[d];
        is_found = reaches(before);
      }
    }
    place.key |= chosen << shift;
  }
  return place;
}

// The first token at which the sum of the weights passes the target, the last that weighs something
// when none does.
template <class Weigh>
__device__ std::int64_t find_token(std::int64_t width, Meeting& meeting, const Weigh& weigh,
                                   double target) {
  const auto lane = static_cast<std::int64_t>(threadIdx.x % kWarp);
  const auto warp = static_cast<std::int64_t>(threadIdx.x / kWarp);
  std::int64_t begin = 0;
  std::int64_t end = width;
  double before = 0;
  while (end - begin > kWarp) {  // to the part of one warp
    const std::int64_t size = (end - begin + kWarps - 1) / kWarps;
    const std::int64_t last = begin + (warp + 1) * size < end ? begin + (warp + 1) * size : end;
    double own = 0;
    for (std::int64_t v = begin + warp * size + lane; v < last; v += kWarp) {
      own += weigh(v);
    }
    own = warp_sum(own);
    double(&sums)[kWarps] = meeting.parts[meeting.half][0];
    meeting.half = 1 - meeting.half;
    if (lane == 0) {
      sums[warp] = own;
    }
    __syncthreads();
    double passed = before;
    std::int64_t part = 0;
    bool is_found = false;
#pragma unroll 4
    for (int w = 0; w < kWarps; ++w) {
      if (!is_found && sums[w] > 0) {
        part = w;
        before = passed;
        passed += sums[w];
        is_found = passed > target;
      }
    }
    begin += part * size;
    end = begin + size < end ? begin + size : end;
  }
  const double own = begin + lane < end ? weigh(begin + lane) : 0;
  int token = 0;
  bool is_found = false;
#pragma unroll 4
  for (int l = 0; l < static_cast<int>(kWarp); ++l) {
    const double other = __shfl_sync(kAllLanes, own, l);
    if (!is_found && other > 0) {
      token = l;
      before += other;
      is_found = before > target;
    }
  }
  return begin + token;
}

// Scores of tokens that were there before, as the reference divides them: in their own precision.
template <class S>
__device__ __forceinline__ void penalise(S* logits, const std::int32_t* ids, std::int32_t begin,
                                         std::int32_t end, S penalty) {
  for (std::int32_t i = begin + static_cast<std::int32_t>(threadIdx.x); i < end; i += kThreads) {
    S& score = logits[ids[i]];
    score = score < S(0) ? score * penalty : score / penalty;
  }
}

template <class S>
__device__ S largest(const S* logits, std::int64_t width, S (&parts)[kWarps]) {
  S top = -static_cast<S>(INFINITY);
  for (std::int64_t v = threadIdx.x; v < width; v += kThreads) {
    top = logits[v] > top ? logits[v] : top;
  }
#pragma unroll
  for (int distance = static_cast<int>(kWarp) / 2; distance > 0; distance /= 2) {
    const S other = __shfl_xor_sync(kAllLanes, top, distance);
    top = other > top ? other : top;
  }
  if (threadIdx.x % kWarp == 0) {
    parts[threadIdx.x / kWarp] = top;
  }
  __syncthreads();
#pragma unroll 4
  for (int warp = 0; warp < kWarps; ++warp) {
    top = parts[warp] > top ? parts[warp] : top;
  }
  return top;
}

// The sum of what is left.
template <class S>
__device__ double total_of(const Row<S>& row, Meeting& meeting) {
  double sum[1] = {};
  for (std::int64_t v = threadIdx.x; v < row.width; v += kThreads) {
    sum[0] += row.kept(row.logits[v]);
  }
  meeting.sum(sum);
  return sum[0];
}

// The likeliest first: of equal scores the lower token.
template <class S>
__device__ std::int64_t choose_by_rank(Row<S>& row, Meeting& meeting, double top_p, double min_p,
                                       double uniform) {
  const double reach = top_p * total_of(row, meeting);
  const auto measure = [&row](S score) { return row.kept(score); };
  const Place last =
      find_score(row, meeting, measure, [reach](double sum) { return sum >= reach; });
  S score = 0;
  score_of(last.key, score);
  // Equal scores of which not all are needed: the first of them.
  const double weight = row.weight(score);
  const double all = floor(last.here / weight + 0.5);
  double needed = ceil((reach - last.above) / weight);
  needed = needed < 1 ? 1 : needed > all ? all : needed;
  row.least = last.key;
  row.least_weight = static_cast<float>(min_p);
  const double excess = weight < row.least_weight ? 0 : (all - needed) * weight;
  const double target = uniform * (total_of(row, meeting) - excess);
  const Place chosen =
      find_score(row, meeting, measure, [target](double sum) { return sum > target; });
  score_of(chosen.key, score);
  const double own = row.weight(score);
  const double most = chosen.key == last.key ? needed : floor(chosen.here / own + 0.5);
  double rank = floor((target - chosen.above) / own);
  rank = rank < 0 ? 0 : rank > most - 1 ? most - 1 : rank;
  const auto is_it = [&row, &chosen](std::int64_t v) {
    return key_of(row.logits[v]) == chosen.key ? 1.0 : 0.0;
  };
  return find_token(row.width, meeting, is_it, rank);
}

template <class S>
__global__ void __launch_bounds__(kThreads, 2)  // left free it spills on sm_100
    choose_tokens(S* logits, std::int64_t stride, std::int64_t width, const std::int32_t* ids,
                  const std::int32_t* begins, const double* uniforms, std::int32_t* tokens,
                  SamplingOptions options) {
  GPU_SHARED(double, parts, [2][4][kWarps]);
  GPU_SHARED(S, tops, [kWarps]);
  const auto r = static_cast<std::int64_t>(blockIdx.x);
  S* own = logits + r * stride;
  if (ids != nullptr) {
    penalise(own, ids, begins[r], begins[r + 1], static_cast<S>(options.repetition_penalty));
    __syncthreads();
  }
  Meeting meeting = {parts};
  const S top = largest(own, width, tops);
  const bool is_greedy = options.temperature == 0;
  Row<S> row = {own, width, top, is_greedy ? S(1) : static_cast<S>(1 / options.temperature), 0, 0};
  std::int64_t token = 0;
  if (is_greedy) {
    const Key key = key_of(top);
    token = find_token(
        width, meeting,
        [&row, key](std::int64_t v) { return key_of(row.logits[v]) == key ? 1.0 : 0.0; }, 0);
  } else {
    if (options.top_k > 0 && options.top_k < width) {
      const double k = options.top_k;
      row.least = find_score(
                      row, meeting, [](S /*score*/) { return 1.0; },
                      [k](double count) { return count >= k; })
                      .key;
    }
    if (options.top_p < 1) {
      token = choose_by_rank(row, meeting, options.top_p, options.min_p, uniforms[r]);
    } else {
      row.least_weight = static_cast<float>(options.min_p);
      const double target = uniforms[r] * total_of(row, meeting);
      token = find_token(
          width, meeting, [&row](std::int64_t v) { return row.kept(row.logits[v]); }, target);
    }
  }
  if (threadIdx.x == 0) {
    tokens[r] = static_cast<std::int32_t>(token);
  }
}

}  // namespace

void sample_rows(const Stream& stream, const SamplingOptions& options, const TensorView& logits,
                 const SeenTokens& seen, const TensorView& uniforms, const TensorView& tokens) {
  if (logits.num_elements() == 0) {
    return;
  }
  const auto run = [&](auto tag) {
    using S = typename decltype(tag)::type;
    gpu_launch(stream, choose_tokens<S>, dim3(static_cast<unsigned>(logits.rows())), dim3(kThreads),
               0, logits.as<S>(), logits.row_stride, logits.cols(), seen.ids.as<std::int32_t>(),
               seen.begins.as<std::int32_t>(), uniforms.as<double>(), tokens.as<std::int32_t>(),
               options);
  };
  switch (logits.dtype) {
    case DType::kF32:
      return run(TypeTag<float>());
    case DType::kF64:
      return run(TypeTag<double>());
    case DType::kBf16:
    case DType::kI32:
      break;
  }
  throw Error(ErrorKind::kDevice,
              std::string("no CUDA kernel for sample_rows of ") + dtype_name(logits.dtype));
}

}  // namespace finescale::cuda
