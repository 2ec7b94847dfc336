// SPDX-License-Identifier: Apache-2.0
#include "worker/eval/decoder.h"

#include <algorithm>

#include "core/error.h"
#include "core/parallel.h"
#include "core/transfer.h"
#include "kernels/embedding.h"
#include "kernels/reduce.h"
#include "worker/model/pointwise.h"

namespace finescale {

namespace {

// Parts of a pass: small models stay in the nearer caches, and their kernels take less time than
// threads need to meet. Others come from memory for each part, so that parts must have rows enough
// for the arithmetic to take longer (32: 6 GB/s a thread).
constexpr std::size_t kNearBytes = std::size_t{4} << 20;
constexpr std::int64_t kNearRows = 16;
constexpr std::int64_t kFarRows = 32;
constexpr std::int64_t kMostParts = 64;

// What the widest of a model's low-rank branches need.
struct AdapterWidths {
  std::int64_t projected = 1;
  std::int64_t scaled_down = 0;
  std::int64_t scaled_up = 0;
  bool has_inputs = false;

  void see(const LowRank& adapter) {
    has_inputs = has_inputs || !adapter.inputs.empty();
    if (adapter.parts.empty()) {
      return;
    }
    projected = std::max(projected, adapter.a.value.rows());
    if (!adapter.is_scaled()) {
      return;
    }
    scaled_down = std::max(scaled_down, adapter.rank);
    for (const LowRankPart& part : adapter.parts) {
      scaled_up = std::max(scaled_up, part.row_end - part.row_begin);
    }
  }
};

// Elements [begin, end) of [n] ids.
TensorView part_of(const TensorView& ids, std::int64_t begin, std::int64_t end) {
  return {ids.as<std::int32_t>() + begin, DType::kI32, Shape{end - begin}};
}

bool needs_more_than_products(const LowRank* adapter) {
  return adapter != nullptr &&
         (adapter->is_scaled() || !adapter->inputs.empty() || !adapter->outputs.empty());
}

// The first `rows` rows of a buffer.
void cut_rows(TensorView& view, std::int64_t rows) {
  view.shape = Shape{rows, view.cols()};
}

// Candidates [t, B, 2] (logit, token) of all ranks: ranks hold ascending tokens, so the first of
// equal logits is the lowest token.
template <class T>
void take_largest(const TensorView& all, int ranks, std::span<std::int32_t> best) {
  const auto count = static_cast<std::int64_t>(best.size());
  for (std::int64_t s = 0; s < count; ++s) {
    const T* chosen = all.as<T>() + 2 * s;
    for (int rank = 1; rank < ranks; ++rank) {
      const T* other = all.as<T>() + 2 * (rank * count + s);
      chosen = other[0] > chosen[0] ? other : chosen;
    }
    best[static_cast<std::size_t>(s)] = static_cast<std::int32_t>(chosen[1]);
  }
}

}  // namespace

std::optional<std::string> decoder_fault(const Transformer& model) {
  if (!model.stream().on_gpu()) {
    return std::nullopt;
  }
  if (model.weights().dtype() != DType::kF32) {
    return "generation in another precision than f32";
  }
  if (model.virtual_tokens().count > 0) {
    return "generation behind virtual tokens";
  }
  if (model.multiplies_rounded()) {
    return "generation with rounded weights";
  }
  for (const LayerAdapters& adapters : model.adapters()) {
    const bool has_branch = adapters.behind_attention != nullptr || adapters.behind_mlp != nullptr;
    if (has_branch || needs_more_than_products(adapters.qkv) ||
        needs_more_than_products(adapters.o) || needs_more_than_products(adapters.gate_up) ||
        needs_more_than_products(adapters.down)) {
      return "generation with this adapter";
    }
  }
  return std::nullopt;
}

void DecoderBatch::clear() {
  tokens.clear();
  positions.clear();
  sequences.clear();
  outputs.clear();
}

void DecoderBatch::add(std::int32_t token, std::int32_t position, std::int32_t sequence) {
  tokens.push_back(token);
  positions.push_back(position);
  sequences.push_back(sequence);
}

Decoder::Decoder(const Transformer& model, const DecoderLimits& limits)
    : model_(&model),
      prefix_(limits.sequences),
      exchange_(model.tensor_group(), model.stream()),
      stream_(model.stream().on_gpu() ? model.stream() : Stream()),  // parts tell no observer
      cache_(stream_, model.layout().attention(0), model.layout().num_layers(),
             model.weights().dtype(), limits.sequences + 1,
             limits.positions + model.virtual_tokens().count) {
  if (const auto fault = decoder_fault(model)) {
    throw Error(ErrorKind::kDevice, *fault + " has no GPU kernels in this version", {},
                "generate on the CPU");
  }
  FS_CHECK(!model.multiplies_rounded(), "text is generated in f32");
  look_at_weights();
  DecoderLimits most = limits;
  most.rows = std::max(limits.rows, model.virtual_tokens().rows());
  make_buffers(most);
  if (stream_.on_gpu()) {
    tables_ = PassTables(stream_, most.rows, limits.outputs);
    chosen_ = AlignedBuffer(static_cast<std::size_t>(limits.outputs) * sizeof(std::int32_t),
                            stream_, MemoryPurpose::kActivations);
  }
  keep_prefix();
}

// Keys and values that are parameters of the layers.
void Decoder::keep_prefix() {
  const VirtualTokens& tokens = model_->virtual_tokens();
  if (tokens.count == 0) {
    return;
  }
  if (tokens.encoder != nullptr) {
    tokens.encoder->forward(stream_);
  }
  cache_.reserve(prefix_, tokens.count);
  places_.clear();
  for (std::int32_t position = 0; position < tokens.count; ++position) {
    places_.push_back({cache_.pages(prefix_), position});
  }
  for (int i = 0; i < model_->layout().num_layers(); ++i) {
    const PrefixKeys* const prefix = model_->adapters()[static_cast<std::size_t>(i)].prefix;
    if (prefix != nullptr) {
      cache_store(stream_, model_->layout().attention(i), prefix->k.value, prefix->v.value, places_,
                  cache_.offset(i));
    }
  }
}

void Decoder::make_buffers(const DecoderLimits& limits) {
  const ModelLayout& layout = model_->layout();
  const DecoderShape& shape = layout.shape();
  const std::int64_t width = shape.hidden_size;
  const AttentionShape a = layout.attention(0);
  const std::int64_t query = std::int64_t{a.num_heads} * a.head_dim;
  const std::int64_t key = std::int64_t{a.num_kv_heads} * a.head_dim;
  const std::int64_t inner = shape.intermediate_size / exchange_.size();
  const std::int64_t rows = limits.rows;
  for (TensorView* view : {&buffers_.state, &buffers_.delta, &buffers_.residual, &buffers_.branch,
                           &buffers_.normed, &buffers_.second}) {
    *view = make(rows, width);
  }
  buffers_.qkv = make(rows, query + 2 * key);
  buffers_.mixed = make(rows, query);
  buffers_.gate_up = make(rows, activation_rule(shape).num_inputs() * inner);
  buffers_.inner = make(rows, inner);
  buffers_.statistics = make(rows, norm_rule(shape).num_statistics());
  buffers_.head_rstd = make(rows, a.num_heads);
  make_adapter_buffers(rows);
  shifted_ = make(norm_rule(shape).offset == 0 ? 1 : kMostParts, width);
  for (int other = 1; other < exchange_.size(); ++other) {
    received_.push_back(make(exchange_.most_rows(rows), width));
  }
  if (layout.part().has_head) {
    make_output_buffers(limits.outputs);
  }
}

void Decoder::look_at_weights() {
  const UnitHooks& hooks = model_->hooks();
  may_cut_ = !stream_.on_gpu() && !exchange_.active() && !(hooks.enter && hooks.gathers);
  for (int i = 0; i < model_->layout().num_layers(); ++i) {
    const LayerWeights& layer = model_->layer(i);
    for (const Weight* weight : {&layer.qkv, &layer.o, &layer.gate_up, &layer.down}) {
      weight_bytes_ += weight->factor().size_bytes();
      may_cut_ = may_cut_ && weight->quantised.empty();  // each part would make it whole again
    }
  }
  if (model_->layout().part().has_head) {
    weight_bytes_ += model_->head().factor().size_bytes();
  }
}

void Decoder::make_adapter_buffers(std::int64_t rows) {
  AdapterWidths widths;
  std::int64_t branch = 0;
  for (const LayerAdapters& adapters : model_->adapters()) {
    for (const LowRank* adapter : {adapters.qkv, adapters.o, adapters.gate_up, adapters.down}) {
      if (adapter != nullptr) {
        widths.see(*adapter);
      }
    }
    for (const BranchNetwork* network : {adapters.behind_attention, adapters.behind_mlp}) {
      branch = std::max(branch, network == nullptr ? 0 : network->down.value.rows());
    }
  }
  buffers_.projected = make(rows, widths.projected);
  if (widths.scaled_up > 0) {
    buffers_.scaled_down = make(rows, widths.scaled_down);
    buffers_.scaled_up = make(rows, widths.scaled_up);
  }
  if (widths.has_inputs) {
    buffers_.multiplied = make(
        rows, std::max({buffers_.normed.cols(), buffers_.mixed.cols(), buffers_.inner.cols()}));
  }
  if (branch > 0) {
    buffers_.branch_inner = make(rows, branch);
    buffers_.branch_active = make(rows, branch);
    buffers_.branch_out = make(rows, buffers_.normed.cols());
  }
}

void Decoder::make_output_buffers(std::int64_t outputs) {
  const std::int64_t vocabulary = model_->head().value.rows();
  buffers_.logits = make(outputs, vocabulary);
  if (exchange_.active()) {
    candidates_ = make(outputs, 2);
    all_candidates_ = make(exchange_.size() * outputs, 2);
    all_logits_ = make(exchange_.size() * outputs, vocabulary);
    whole_logits_ = make(outputs, exchange_.size() * vocabulary);
  }
}

TensorView Decoder::make(std::int64_t rows, std::int64_t columns) {
  const DType dtype = model_->weights().dtype();
  memory_.emplace_back(static_cast<std::size_t>(rows * columns) * dtype_size(dtype), stream_,
                       MemoryPurpose::kActivations);
  return {memory_.back().data(), dtype, Shape{rows, columns}};
}

void Decoder::begin(const DecoderBatch& batch) {
  const std::int64_t count = model_->virtual_tokens().count;
  for (std::size_t r = 0; count > 0 && r < batch.tokens.size(); ++r) {
    if (batch.positions[r] == 0) {
      cache_.begin_as(batch.sequences[r], prefix_, count);
    }
  }
  take(batch, count);
}

void Decoder::begin_virtual() {
  virtual_batch_.clear();
  for (std::int32_t i = 0; i < model_->virtual_tokens().rows(); ++i) {
    virtual_batch_.add(kNoRow, i, prefix_);
  }
  take(virtual_batch_, 0);
}

void Decoder::take(const DecoderBatch& batch, std::int64_t first_position) {
  batch_ = &batch;
  tokens_ = batch.tokens;
  if (exchange_.active() && model_->layout().part().has_embedding) {
    for (std::int32_t& token : tokens_) {
      const std::int64_t row = token - model_->first_token();
      token = row >= 0 && row < model_->embedding().value.rows() ? static_cast<std::int32_t>(row)
                                                                 : kNoRow;
    }
  }
  places_.clear();
  positions_.clear();
  for (std::size_t r = 0; r < batch.tokens.size(); ++r) {
    positions_.push_back(batch.positions[r] + static_cast<std::int32_t>(first_position));
    cache_.reserve(batch.sequences[r], positions_.back() + 1);
    places_.push_back({cache_.pages(batch.sequences[r]), positions_.back()});
  }
  output_places_.clear();
  for (const std::int32_t row : batch.outputs) {
    output_places_.push_back(places_[static_cast<std::size_t>(row)]);
  }
  if (stream_.on_gpu()) {
    upload();
  }
  rows_ = cut(0, static_cast<std::int64_t>(batch.tokens.size()), 0);
}

void Decoder::upload() {
  cache_.publish();
  device_places_.clear();
  for (std::size_t r = 0; r < places_.size(); ++r) {
    device_places_.push_back({cache_.device_pages(batch_->sequences[r]), places_[r].position});
  }
  device_output_places_.clear();
  for (const std::int32_t row : batch_->outputs) {
    device_output_places_.push_back(device_places_[static_cast<std::size_t>(row)]);
  }
  tables_.upload(stream_, {.tokens = tokens_,
                           .positions = positions_,
                           .outputs = batch_->outputs,
                           .places = device_places_,
                           .output_places = device_output_places_});
}

DecoderRows Decoder::cut(std::int64_t begin, std::int64_t end, std::int64_t part) const {
  DecoderRows rows = buffers_;
  const auto from = static_cast<std::size_t>(begin);
  const auto count = static_cast<std::size_t>(end - begin);
  rows.first = begin;
  const bool on_gpu = stream_.on_gpu();
  rows.tokens = part_of(on_gpu ? tables_.tokens() : ids_view(tokens_), begin, end);
  rows.positions = part_of(on_gpu ? tables_.positions() : ids_view(positions_), begin, end);
  rows.places = std::span(places_).subspan(from, count);
  if (batch_ == &virtual_batch_ && model_->layout().part().has_embedding) {
    rows.prompt = model_->virtual_tokens().embeddings->value.row_range(begin, end);
  }
  rows.for_each([&](TensorView& view) {
    if (!view.empty()) {
      view = view.row_range(begin, end);
    }
  });
  const TensorView shifted = shifted_.row_range(shifted_.rows() == 1 ? 0 : part, shifted_.rows());
  rows.shifted = TensorView(shifted.data, shifted.dtype, Shape{shifted.cols()});
  const std::vector<std::int32_t>& outputs = batch_->outputs;
  const auto first = std::lower_bound(outputs.begin(), outputs.end(), begin) - outputs.begin();
  const auto last = std::lower_bound(outputs.begin(), outputs.end(), end) - outputs.begin();
  const auto first_output = static_cast<std::size_t>(first);
  const auto num_outputs = static_cast<std::size_t>(last - first);
  rows.outputs = std::span(outputs).subspan(first_output, num_outputs);
  rows.output_places = std::span(output_places_).subspan(first_output, num_outputs);
  if (on_gpu) {  // a pass is one part there
    rows.device_places = tables_.places();
    rows.device_output_places = tables_.output_places();
    rows.device_outputs = tables_.outputs();
  }
  if (!rows.logits.empty()) {
    rows.logits = rows.logits.row_range(first, last);
  }
  return rows;
}

void Decoder::make_parts() {
  const auto rows = static_cast<std::int64_t>(places_.size());
  const std::int64_t threads = num_threads();
  part_ends_.assign(1, rows);
  const bool is_near = weight_bytes_ <= kNearBytes;
  const std::int64_t parts = std::min(
      is_near ? std::max(rows / kNearRows, std::min(threads, 2 * rows / kNearRows)) : threads,
      kMostParts);
  if (!may_cut_ || threads == 1 || parts < 2 || rows < parts * (is_near ? 1 : kFarRows)) {
    return;
  }
  std::vector<std::int64_t>& ends = part_ends_;
  ends.clear();
  std::int64_t largest = 0;
  for (std::int64_t row = 1; row <= rows; ++row) {
    const auto at = static_cast<std::size_t>(row);
    const std::int64_t begin = ends.empty() ? 0 : ends.back();
    const bool may_end = row == rows || batch_->sequences[at] != batch_->sequences[at - 1];
    if (may_end && row * parts >= rows * (std::ssize(ends) + 1)) {
      largest = std::max(largest, row - begin);
      ends.push_back(row);
    }
  }
  // Else threads would wait for the one with the longest prompt.
  if (largest * std::min(parts, threads) > rows + rows / (is_near ? 4 : 16)) {
    ends.assign(1, rows);
  }
}

void Decoder::pass() {
  make_parts();
  if (part_ends_.size() == 1) {
    DecoderRows rows = rows_;
    layers().run(stream_, rows);
    return;
  }
  parallel_items(std::ssize(part_ends_), [this](std::int64_t part) {
    const OneThread alone;
    const auto at = static_cast<std::size_t>(part);
    DecoderRows rows = cut(part == 0 ? 0 : part_ends_[at - 1], part_ends_[at], part);
    layers().run(stream_, rows);
  });
}

void Decoder::choose_on_gpu(std::span<std::int32_t> best) {
  if (best.empty()) {
    return;
  }
  const TensorView chosen(chosen_.data(), DType::kI32, Shape{std::ssize(best)});
  argmax_rows(stream_, logits(), chosen);
  copy_to_host(stream_, chosen.data, best.data(), best.size_bytes());
}

void Decoder::choose(std::span<std::int32_t> best) {
  if (stream_.on_gpu()) {
    choose_on_gpu(best);
    return;
  }
  argmax_rows(stream_, rows_.logits, ids_view(best));
  if (!exchange_.active() || best.empty()) {
    return;
  }
  const bool f64 = candidates_.dtype == DType::kF64;
  const auto count = static_cast<std::int64_t>(best.size());
  cut_rows(candidates_, count);
  cut_rows(all_candidates_, exchange_.size() * count);
  for (std::int64_t s = 0; s < count; ++s) {
    const std::int32_t index = best[static_cast<std::size_t>(s)];
    const std::int64_t at = s * rows_.logits.row_stride + index;
    const auto token = index + model_->first_token();  // exact below 2^24, also in f32
    if (f64) {
      candidates_.as<double>()[2 * s] = rows_.logits.as<double>()[at];
      candidates_.as<double>()[2 * s + 1] = static_cast<double>(token);
    } else {
      candidates_.as<float>()[2 * s] = rows_.logits.as<float>()[at];
      candidates_.as<float>()[2 * s + 1] = static_cast<float>(token);
    }
  }
  exchange_.all_gather_parts(candidates_, all_candidates_);
  f64 ? take_largest<double>(all_candidates_, exchange_.size(), best)
      : take_largest<float>(all_candidates_, exchange_.size(), best);
}

TensorView Decoder::logits() {
  if (!exchange_.active()) {
    return rows_.logits;
  }
  const std::int64_t count = rows_.logits.rows();
  cut_rows(all_logits_, exchange_.size() * count);
  cut_rows(whole_logits_, count);
  exchange_.all_gather_parts(rows_.logits, all_logits_);
  for (int rank = 0; rank < exchange_.size(); ++rank) {
    copy(stream_, all_logits_.row_range(rank * count, (rank + 1) * count),
         whole_logits_.columns(rank * rows_.logits.cols(), (rank + 1) * rows_.logits.cols()));
  }
  return whole_logits_;
}

}  // namespace finescale
