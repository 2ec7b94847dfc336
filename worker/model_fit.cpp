// SPDX-License-Identifier: Apache-2.0
#include "worker/model_fit.h"

#include <string>

#include "configs/decoder.h"
#include "configs/method_rules.h"
#include "core/error.h"

namespace finescale {

void check_model_fits(const config::ModelConfig& model, const Tokenizer& tokenizer,
                      const config::DataRules& rules) {
  const DecoderShape shape = decoder_shape(model);
  if (tokenizer.vocab_size() > shape.vocab_size) {
    throw Error(ErrorKind::kConfig, "the tokenizer has " + std::to_string(tokenizer.vocab_size()) +
                                        " entries, the model's embedding only " +
                                        std::to_string(shape.vocab_size));
  }
  if (rules.max_length() > shape.max_positions) {
    throw Error(ErrorKind::kConfig,
                "data.max_length is " + std::to_string(rules.max_length()) +
                    ", must be <= the model's " + std::to_string(shape.max_positions) +
                    " positions",
                "data.max_length", "set data.max_length");
  }
}

void check_virtual_tokens(const config::Method& method, const config::ModelConfig& model,
                          const config::DataRules& rules) {
  if (const auto fault = virtual_token_fault(method, decoder_shape(model), rules.max_length())) {
    throw Error(ErrorKind::kConfig, "num_virtual_tokens " + fault->message, "train.method",
                fault->hint);
  }
}

void check_teacher_fits(const config::ModelConfig& teacher, const config::ModelConfig& pupil,
                        const config::DataRules& rules) {
  const DecoderShape theirs = decoder_shape(teacher);
  const int tokens = decoder_shape(pupil).vocab_size;
  if (theirs.vocab_size != tokens) {
    throw Error(ErrorKind::kConfig,
                "the teacher has " + std::to_string(theirs.vocab_size) +
                    " tokens, the model that learns has " + std::to_string(tokens),
                "train.objective.distill.teacher", "choose models of one vocabulary");
  }
  if (rules.max_length() > theirs.max_positions) {
    throw Error(ErrorKind::kConfig,
                "data.max_length is " + std::to_string(rules.max_length()) +
                    ", must be <= the teacher's " + std::to_string(theirs.max_positions) +
                    " positions",
                "data.max_length", "set data.max_length");
  }
}

}  // namespace finescale
