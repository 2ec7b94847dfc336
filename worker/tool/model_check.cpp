// SPDX-License-Identifier: Apache-2.0
#include "worker/tool/model_check.h"

#include <memory>

#include <nlohmann/json.hpp>

#include "configs/decoder.h"
#include "configs/model_directory.h"
#include "core/error.h"
#include "worker/data/end_tokens.h"
#include "worker/import/open_model.h"
#include "worker/model_fit.h"

namespace finescale {

std::string model_check_tool(const std::string& request) {
  try {
    const nlohmann::json asked = nlohmann::json::parse(request);
    config::ModelSource source;
    config::TokenizerSource tokenizer;
    config::DataRules rules;
    set_model_source(
        asked.at("path"), asked.value("adapter", ""),
        [](const std::string&) { return std::string(); }, source, tokenizer, rules);
    rules.set_max_length(asked.at("max_length"));
    rules.set_response_end(asked.at("response_end"));
    rules.set_prompt_end(asked.at("prompt_end"));
    const std::unique_ptr<WeightSource> weights =
        source.has_files() ? open_model_files(source.files())
                           : make_checkpoint_source(source.checkpoint().path());
    const Tokenizer loaded = Tokenizer::load(tokenizer.file().path());
    check_model_fits(weights->config(), loaded, rules);
    (void)end_tokens(rules, loaded);
    return nlohmann::json{{"family", family_name(weights->config())}}.dump();
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorKind::kProtocol, std::string("tool model: ") + error.what());
  }
}

}  // namespace finescale
