// SPDX-License-Identifier: Apache-2.0
// Next tokens of many sequences, with the keys and values of the earlier ones. A pass takes any
// tokens of any sequences, so a prompt goes through in blocks beside sequences that advance by one.
// Every row is computed on its own: no bit of it depends on what else is in the pass. On a
// tensor-parallel model each rank holds its heads' keys and its part of the vocabulary. On a GPU
// everything lies there, and a pass is enqueued.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "worker/eval/decoder_rows.h"
#include "worker/eval/kv_cache.h"
#include "worker/eval/pass_tables.h"
#include "worker/model/row_exchange.h"
#include "worker/model/transformer.h"

namespace finescale {

// Tokens of one pass; a sequence's tokens follow each other in ascending positions.
struct DecoderBatch {
  std::vector<std::int32_t> tokens, positions, sequences;
  std::vector<std::int32_t> outputs;  // rows whose next token is wanted, ascending
  void clear();
  void add(std::int32_t token, std::int32_t position, std::int32_t sequence);
};

struct DecoderLimits {
  std::int64_t rows = 1;       // of a pass
  std::int64_t outputs = 1;    // of a pass
  int sequences = 1;           // held at once
  std::int64_t positions = 1;  // of a sequence
};

// What of the model its GPU has no kernels for, so that it can be decoded on the CPU only.
[[nodiscard]] std::optional<std::string> decoder_fault(const Transformer& model);

class Decoder {
 public:
  // The model must outlive it. Throws kDevice when the model has a decoder_fault().
  Decoder(const Transformer& model, const DecoderLimits& limits);

  // Takes the tokens of the next pass; `batch` must stay until it is over. Positions count from the
  // first token of the caller's: virtual tokens are in front of it.
  void begin(const DecoderBatch& batch);
  // The pass of virtual tokens that go through the layers, before all others.
  void begin_virtual();
  // Through the layers of this piece: hidden state in (but with the embedding), hidden state out
  // (but with the head). Collective over the tensor group.
  void pass();
  [[nodiscard]] const TensorView& state() const noexcept { return rows_.state; }  // [R, C]
  // With the head, after pass: the likeliest next token of each output row, the lowest id of
  // equals. Collective over the tensor group.
  void choose(std::span<std::int32_t> best);
  // With the head, after pass: whole rows [outputs, V] on every rank, in the memory of the stream's
  // device; valid until the next call.
  // Collective over the tensor group.
  [[nodiscard]] TensorView logits();
  // The sequence is over, its number free for another.
  void release(int sequence) { cache_.release(sequence); }

  [[nodiscard]] const Stream& stream() const noexcept { return stream_; }
  [[nodiscard]] std::size_t cache_bytes() const noexcept { return cache_.memory_bytes(); }

 private:
  [[nodiscard]] TensorView make(std::int64_t rows, std::int64_t columns);
  void look_at_weights();
  void take(const DecoderBatch& batch, std::int64_t first_position);
  void upload();
  void choose_on_gpu(std::span<std::int32_t> best);
  void keep_prefix();
  void make_buffers(const DecoderLimits& limits);
  void make_adapter_buffers(std::int64_t rows);
  void make_output_buffers(std::int64_t outputs);
  // Rows [begin, end) of the pass in hand, as part number `part`.
  [[nodiscard]] DecoderRows cut(std::int64_t begin, std::int64_t end, std::int64_t part) const;
  // Cuts the pass between sequences; one part where parts may not go through by themselves, or had
  // better not.
  void make_parts();
  [[nodiscard]] DecoderLayers layers() {
    return DecoderLayers(*model_, cache_, exchange_, received_);
  }

  const Transformer* model_;
  int prefix_;  // the sequence that holds the virtual tokens' keys and values
  RowExchange exchange_;
  Stream stream_;
  KvCache cache_;
  std::vector<AlignedBuffer> memory_;
  DecoderRows buffers_;  // of as many rows as a pass may have
  DecoderRows rows_;     // of the pass in hand
  TensorView shifted_;   // [parts, C]
  std::vector<TensorView> received_;
  TensorView candidates_;  // [outputs, 2]: this rank's best logit and its token
  TensorView all_candidates_, all_logits_, whole_logits_;
  const DecoderBatch* batch_ = nullptr;
  std::size_t weight_bytes_ = 0;  // that a pass reads
  bool may_cut_ = false;          // whether parts of a pass need not meet
  DecoderBatch virtual_batch_;
  std::vector<std::int32_t> positions_;
  std::vector<std::int32_t> tokens_;  // rows of this rank's part of the embedding
  std::vector<CachedToken> places_, output_places_;
  PassTables tables_;  // of a GPU
  std::vector<CachedToken> device_places_, device_output_places_;
  AlignedBuffer chosen_;  // [outputs] i32 of a GPU
  std::vector<std::int64_t> part_ends_;
};

}  // namespace finescale
