// SPDX-License-Identifier: Apache-2.0
#include "worker/tool/generate_arguments.h"

#include <algorithm>
#include <thread>

#include "core/error.h"
#include "core/parallel.h"
#include "worker/tool/tool_gpu.h"

namespace finescale {

namespace {

template <class T, class U>
void override_with(const std::optional<T>& given, U& value) {
  if (given) {
    value = *given;
  }
}

}  // namespace

void add_generate_arguments(CLI::App& app, GenerateArguments& arguments) {
  app.add_option("MODEL", arguments.model,
                 "a directory with config.json, a .gguf file, a checkpoint's or adapter's "
                 "directory; or, in "
                 "front of the options, CAMPAIGN:TRIAL")
      ->required();
  app.add_option("--max-new", arguments.max_new, "longest answer, tokens")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 30))
      ->capture_default_str();
  const std::string group = "Sampling (default: what the model says, else the likeliest token)";
  app.add_option("--temperature", arguments.temperature, "divides the logits; 0: likeliest token")
      ->group(group);
  app.add_option("--top-k", arguments.top_k, "only the k likeliest tokens; 0: all")->group(group);
  app.add_option("--top-p", arguments.top_p,
                 "only the likeliest tokens that together reach this probability")
      ->group(group);
  app.add_option("--min-p", arguments.min_p,
                 "only tokens with at least this share of the largest probability")
      ->group(group);
  app.add_option("--repetition-penalty", arguments.repetition_penalty,
                 "> 1 makes tokens that occurred less likely")
      ->group(group);
  app.add_option("--seed", arguments.seed,
                 "of the random numbers: the same seed gives the same answers, in any batch")
      ->capture_default_str()
      ->group(group);
  app.add_option("--stop", arguments.stop_strings, "text that ends an answer; repeatable")
      ->type_size(1)
      ->allow_extra_args(false);
  app.add_option("--stop-token", arguments.stop_tokens,
                 "token that ends an answer, beside those of the model; repeatable")
      ->type_size(1)
      ->allow_extra_args(false);
  app.add_option("--threads", arguments.threads, "0: one per core")->capture_default_str();
  add_device_option(app, arguments.device);
}

GenerationOptions generation_options(const GenerateArguments& arguments,
                                     const PromptedModel& model) {
  GenerationOptions options;
  options.sampling = model.form().sampling;
  override_with(arguments.temperature, options.sampling.temperature);
  override_with(arguments.top_k, options.sampling.top_k);
  override_with(arguments.top_p, options.sampling.top_p);
  override_with(arguments.min_p, options.sampling.min_p);
  override_with(arguments.repetition_penalty, options.sampling.repetition_penalty);
  check(options.sampling);
  options.seed = arguments.seed;
  options.max_new = arguments.max_new;
  options.stop_strings = arguments.stop_strings;
  if (!arguments.no_stop) {
    options.stop_tokens = model.form().stop_tokens;
  }
  for (const std::string& name : arguments.stop_tokens) {
    const auto id = model.tokenizer().token_id(name);
    if (!id) {
      throw Error(ErrorKind::kConfig, "the tokenizer has no token " + name, "--stop-token",
                  "use --stop for text");
    }
    options.stop_tokens.push_back(*id);
  }
  return options;
}

void use_threads(const GenerateArguments& arguments) {
  set_num_threads(arguments.threads > 0
                      ? arguments.threads
                      : std::max(1, static_cast<int>(std::thread::hardware_concurrency())));
}

}  // namespace finescale
