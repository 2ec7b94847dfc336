// SPDX-License-Identifier: Apache-2.0
// What only the opened model can tell about the data that it is given.
#pragma once

#include "configs/schema/model.pb.h"
#include "configs/schema/stage.pb.h"
#include "worker/data/tokenizer.h"

namespace finescale {

// Throws kConfig when the tokenizer has tokens that the embedding lacks, or data.max_length is more
// than the model's positions.
void check_model_fits(const config::ModelConfig& model, const Tokenizer& tokenizer,
                      const config::DataRules& rules);
// The same with what the method puts in front of every example.
void check_virtual_tokens(const config::Method& method, const config::ModelConfig& model,
                          const config::DataRules& rules);
// The same when a teacher has another vocabulary than its pupil, or too few positions.
void check_teacher_fits(const config::ModelConfig& teacher, const config::ModelConfig& pupil,
                        const config::DataRules& rules);

}  // namespace finescale
