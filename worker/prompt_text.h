// SPDX-License-Identifier: Apache-2.0
// What virtual tokens begin with, as ids.
#pragma once

#include "configs/schema/train.pb.h"
#include "worker/data/tokenizer.h"

namespace finescale {

// The settings with prompt_tuning_init_text, where there is one, as prompt_tuning_init_ids. Throws
// kConfig when the text has no token.
[[nodiscard]] config::Train with_prompt_ids(const config::Train& train, const Tokenizer& tokenizer);

}  // namespace finescale
