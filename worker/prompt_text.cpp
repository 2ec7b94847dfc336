// SPDX-License-Identifier: Apache-2.0
#include "worker/prompt_text.h"

#include "core/error.h"

namespace finescale {

config::Train with_prompt_ids(const config::Train& train, const Tokenizer& tokenizer) {
  if (!train.method().prompt_tuning().has_prompt_tuning_init_text()) {
    return train;
  }
  config::Train known = train;
  config::PromptTuning& prompt = *known.mutable_method()->mutable_prompt_tuning();
  for (const std::int32_t id : tokenizer.encode_ordinary(prompt.prompt_tuning_init_text())) {
    prompt.add_prompt_tuning_init_ids(id);
  }
  if (prompt.prompt_tuning_init_ids().empty()) {
    throw Error(ErrorKind::kConfig, "prompt_tuning_init_text has no token",
                "train.method.prompt_tuning.prompt_tuning_init_text");
  }
  return known;
}

}  // namespace finescale
