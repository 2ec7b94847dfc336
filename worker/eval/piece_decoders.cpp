// SPDX-License-Identifier: Apache-2.0
#include "worker/eval/piece_decoders.h"

namespace finescale {

PieceDecoders::PieceDecoders(EvalModel& model, const DecoderLimits& limits)
    : links_(model.engine()), pipeline_(&model.mesh().pipeline()) {
  for (const EvalPiece& piece : model.pieces()) {
    decoders_.push_back(std::make_unique<Decoder>(*piece.model, limits));
  }
  sent_.resize(decoders_.size());
  if (model.pieces().front().model->virtual_tokens().rows() > 0) {
    pass([](Decoder& decoder) { decoder.begin_virtual(); }, [](Decoder&) {});
  }
}

PieceDecoders::~PieceDecoders() {
  for (PieceLinks::Sent& sent : sent_) {
    try {  // messages use the decoders' memory
      PieceLinks::wait(sent);
    } catch (...) {  // the next step would have thrown it
    }
  }
}

void PieceDecoders::pass(const std::function<void(Decoder& decoder)>& begin,
                         const std::function<void(Decoder& last)>& end) {
  for (std::size_t chunk = 0; chunk < decoders_.size(); ++chunk) {
    Decoder& decoder = *decoders_[chunk];
    const int piece = links_.piece_of(static_cast<int>(chunk));
    PieceLinks::wait(sent_[chunk]);
    begin(decoder);
    if (!links_.is_first(piece)) {
      links_.receive(decoder.state(), piece - 1, step_, PieceLinks::Kind::kState);
    }
    decoder.pass();
    if (!links_.is_last(piece)) {
      sent_[chunk] = links_.send(decoder.state(), piece + 1, step_, PieceLinks::Kind::kState);
    } else {
      end(decoder);
    }
  }
  ++step_;
}

void PieceDecoders::step(const DecoderBatch& batch, const Pick& pick,
                         std::span<std::int32_t> next) {
  pass([&](Decoder& decoder) { decoder.begin(batch); },
       [&](Decoder& last) {
         if (!next.empty()) {
           pick(last, next);
         }
       });
  if (pipeline_->size() > 1 && !next.empty()) {
    pipeline_->broadcast(next.data(), next.size_bytes(), pipeline_->size() - 1);
  }
}

void PieceDecoders::release(int sequence) {
  for (const auto& decoder : decoders_) {
    decoder->release(sequence);
  }
}

std::size_t PieceDecoders::cache_bytes() const {
  std::size_t bytes = 0;
  for (const auto& decoder : decoders_) {
    bytes += decoder->cache_bytes();
  }
  return bytes;
}

}  // namespace finescale
