// SPDX-License-Identifier: Apache-2.0
#include "worker/eval/generate.h"

#include <algorithm>
#include <utility>

#include "kernels/attention.h"
#include "kernels/embedding.h"
#include "kernels/gemm.h"
#include "kernels/reduce.h"
#include "kernels/rmsnorm.h"
#include "kernels/rope.h"
#include "kernels/swiglu.h"

namespace finescale {

namespace {

TensorView as_view(std::vector<std::int32_t>& ids) {
  return {ids.data(), DType::kI32, Shape{static_cast<std::int64_t>(ids.size())}};
}

}  // namespace

// Activations of one decode step of B sequences and the cache of all layers.
struct Generator::Buffers {
  Buffers(const ModelLayout& layout, DType dtype, std::int64_t batch, std::int64_t positions,
          std::int64_t widest)
      : batch_size(batch), capacity(positions) {
    const config::Llama& c = layout.config();
    const AttentionShape a = layout.attention();
    const std::int64_t query = std::int64_t{a.num_heads} * a.head_dim;
    const std::int64_t key = std::int64_t{a.num_kv_heads} * a.head_dim;
    const auto make = [&](std::int64_t rows, std::int64_t columns) {
      memory.emplace_back(static_cast<std::size_t>(rows * columns) * dtype_size(dtype));
      return TensorView(memory.back().data(), dtype, Shape{rows, columns});
    };
    delta = make(batch, c.hidden_size());
    stream = make(batch, c.hidden_size());
    normed = make(batch, c.hidden_size());
    qkv = make(batch, query + 2 * key);
    mixed = make(batch, query);
    gate_up = make(batch, std::int64_t{2} * c.intermediate_size());
    inner = make(batch, c.intermediate_size());
    projected = make(batch, widest);  // x A^T of the widest adapter; cut to what is needed
    logits = make(batch, c.vocab_size());
    rstd = TensorView(make(batch, 1).data, dtype, Shape{batch});
    for (int layer = 0; layer < layout.num_layers(); ++layer) {
      keys.push_back(make(batch * positions, key));
      values.push_back(make(batch * positions, key));
    }
  }

  std::int64_t batch_size;
  std::int64_t capacity;
  std::vector<AlignedBuffer> memory;
  TensorView delta, stream, normed, qkv, mixed, gate_up, inner, projected, logits, rstd;
  std::vector<TensorView> keys, values;
};

void Generator::decode(Buffers& b, const std::vector<std::int32_t>& tokens,
                       const std::vector<std::int32_t>& positions) const {
  const Stream stream;
  const ModelLayout& layout = model_->layout();
  const ParameterSet& w = model_->weights();
  const AttentionShape attention = layout.attention();
  const std::int64_t query = std::int64_t{attention.num_heads} * attention.head_dim;
  const std::int64_t key = std::int64_t{attention.num_kv_heads} * attention.head_dim;
  const double eps = layout.config().rms_norm_eps();
  std::vector<std::int32_t> ids = tokens;
  std::vector<std::int32_t> at = positions;
  std::vector<std::int32_t> lengths = positions;
  for (std::int32_t& length : lengths) {
    ++length;
  }
  const auto linear = [&](const TensorView& x, const TensorView& weight, const LowRank* adapter,
                          const TensorView& y) {
    TensorView projected;
    if (adapter != nullptr) {
      projected = TensorView(b.projected.data, b.projected.dtype,
                             Shape{b.batch_size, adapter->a.value.rows()});
    }
    linear_forward(stream, x, weight, adapter, projected, y);
  };
  TensorView delta = b.delta;
  TensorView residual = b.stream;
  embedding_forward(stream, as_view(ids), w.view(layout.embedding()), delta);
  for (int i = 0; i < layout.num_layers(); ++i) {
    const LayerIndex& layer = layout.layer(i);
    const LayerAdapters& adapters = model_->adapters()[static_cast<std::size_t>(i)];
    rmsnorm_forward(stream, delta, i == 0 ? TensorView() : residual, w.view(layer.input_norm), eps,
                    b.normed, b.rstd);
    std::swap(delta, residual);  // the sum is the new residual stream
    linear(b.normed, w.stack(layer.q, layer.v), adapters.qkv, b.qkv);
    rope_apply(stream, b.qkv.columns(0, query + key), as_view(at), model_->rope_cos(),
               model_->rope_sin(), false);
    for (std::int64_t s = 0; s < b.batch_size; ++s) {
      const std::int64_t row = s * b.capacity + at[static_cast<std::size_t>(s)];
      const TensorView source = b.qkv.row_range(s, s + 1);
      copy(stream, source.columns(query, query + key),
           b.keys[static_cast<std::size_t>(i)].row_range(row, row + 1));
      copy(stream, source.columns(query + key, query + 2 * key),
           b.values[static_cast<std::size_t>(i)].row_range(row, row + 1));
    }
    attention_decode(stream, attention, b.qkv.columns(0, query),
                     b.keys[static_cast<std::size_t>(i)], b.values[static_cast<std::size_t>(i)],
                     b.capacity, lengths, b.mixed);
    linear(b.mixed, w.view(layer.o), adapters.o, delta);
    rmsnorm_forward(stream, delta, residual, w.view(layer.post_norm), eps, b.normed, b.rstd);
    std::swap(delta, residual);
    linear(b.normed, w.stack(layer.gate, layer.up), adapters.gate_up, b.gate_up);
    swiglu_forward(stream, b.gate_up, b.inner);
    linear(b.inner, w.view(layer.down), adapters.down, delta);
  }
  rmsnorm_forward(stream, delta, residual, w.view(layout.final_norm()), eps, b.normed, b.rstd);
  gemm(stream, Transpose::kNo, Transpose::kYes, 1, b.normed, w.view(layout.head()), 0, b.logits);
}

std::vector<std::vector<std::int32_t>> Generator::greedy(
    const std::vector<std::vector<std::int32_t>>& prompts, std::int64_t max_new,
    std::int32_t stop) {
  const auto batch = static_cast<std::int64_t>(prompts.size());
  std::int64_t longest = 0;
  for (const auto& prompt : prompts) {
    longest = std::max(longest, static_cast<std::int64_t>(prompt.size()));
  }
  const std::int64_t capacity =
      std::min<std::int64_t>(longest + max_new, model_->layout().config().max_positions());
  std::int64_t widest = 1;
  for (const LayerAdapters& layer : model_->adapters()) {
    for (const LowRank* adapter : {layer.qkv, layer.o, layer.gate_up, layer.down}) {
      widest = adapter == nullptr ? widest : std::max(widest, adapter->a.value.rows());
    }
  }
  Buffers buffers(model_->layout(), model_->weights().dtype(), batch, capacity, widest);
  std::vector<std::vector<std::int32_t>> answers(prompts.size());
  std::vector<bool> done(prompts.size(), false);
  std::vector<std::int32_t> tokens(prompts.size());
  std::vector<std::int32_t> positions(prompts.size());
  std::vector<std::int32_t> best(prompts.size());
  for (std::int64_t step = 0; step + 1 <= capacity; ++step) {
    bool any = false;
    for (std::size_t s = 0; s < prompts.size(); ++s) {
      const auto length = static_cast<std::int64_t>(prompts[s].size());
      if (step < length) {
        tokens[s] = prompts[s][static_cast<std::size_t>(step)];
      } else if (!done[s]) {
        tokens[s] = best[s];
      }
      // A finished sequence keeps its place and writes to the position where it stopped: nobody
      // reads it.
      positions[s] = done[s] ? positions[s] : static_cast<std::int32_t>(step);
      any = any || !done[s];
    }
    if (!any) {
      break;
    }
    decode(buffers, tokens, positions);
    argmax_rows(Stream(), buffers.logits, as_view(best));
    for (std::size_t s = 0; s < prompts.size(); ++s) {
      if (done[s] || step + 1 < static_cast<std::int64_t>(prompts[s].size())) {
        continue;
      }
      if (best[s] == stop || static_cast<std::int64_t>(answers[s].size()) >= max_new) {
        done[s] = true;
      } else {
        answers[s].push_back(best[s]);
        done[s] = static_cast<std::int64_t>(answers[s].size()) >= max_new;
      }
    }
  }
  return answers;
}

}  // namespace finescale
