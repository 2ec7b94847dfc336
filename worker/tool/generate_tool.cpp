// SPDX-License-Identifier: Apache-2.0
#include "worker/tool/generate_tool.h"

#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/json_depth.h"
#include "core/stop_signal.h"
#include "core/stopwatch.h"
#include "worker/tool/generate_arguments.h"
#include "worker/tool/tool_command.h"

namespace finescale {

namespace {

struct Arguments : GenerateArguments {
  std::vector<std::string> prompts;
  std::string file;
  std::int64_t batch = 64;
  bool raw = false;
  bool json = false;
};

struct Prompt {
  std::string text;
  std::vector<std::int32_t> ids;  // instead of a text
};

void declare(CLI::App& app, Arguments& arguments) {
  add_generate_arguments(app, arguments);
  app.add_option("--prompt", arguments.prompts,
                 "text to continue; repeatable. Without any: standard input, as one prompt")
      ->type_size(1)
      ->allow_extra_args(false);
  app.add_option("--prompts", arguments.file,
                 "JSONL file, {\"prompt\": text} or {\"ids\": [...]} on each line; - for stdin");
  app.add_option("--batch", arguments.batch, "prompts at once; changes no answer")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  app.add_flag("--raw", arguments.raw,
               "take prompts as they are, without the token that ended them in training");
  app.add_flag("--no-stop", arguments.no_stop, "the model's own stop tokens do not end an answer");
  app.add_flag("--json", arguments.json, "answers as one JSON document on standard output");
}

Prompt parse_prompt(const std::string& line, const std::string& where) {
  if (is_json_too_deep(line)) {
    throw Error(ErrorKind::kData, kJsonTooDeep, where);
  }
  const nlohmann::json json = nlohmann::json::parse(line, nullptr, false);
  if (json.is_discarded()) {
    throw Error(ErrorKind::kData, "not valid JSON", where);
  }
  Prompt prompt;
  if (json.is_object() && json.contains("prompt") && json["prompt"].is_string()) {
    prompt.text = json["prompt"];
    return prompt;
  }
  if (json.is_object() && json.contains("ids") && json["ids"].is_array() && !json["ids"].empty()) {
    for (const nlohmann::json& id : json["ids"]) {
      if (!id.is_number_unsigned() || id.get<std::uint64_t>() > INT32_MAX) {
        throw Error(ErrorKind::kData, "\"ids\" holds " + id.dump() + ", which is no token", where);
      }
      prompt.ids.push_back(id);
    }
    return prompt;
  }
  throw Error(ErrorKind::kData, "\"prompt\" is missing or no string", where,
              "each line is {\"prompt\": \"...\"} or {\"ids\": [...]}");
}

void read_prompts(std::istream& in, const std::string& name, std::vector<Prompt>& prompts) {
  std::string line;
  for (std::int64_t number = 1; std::getline(in, line); ++number) {
    if (line.find_first_not_of(" \t\r") != std::string::npos) {
      prompts.push_back(parse_prompt(line, name + ":" + std::to_string(number)));
    }
  }
}

std::vector<Prompt> all_prompts(const Arguments& arguments) {
  std::vector<Prompt> prompts;
  for (const std::string& text : arguments.prompts) {
    prompts.push_back({text, {}});
  }
  if (arguments.file == "-") {
    read_prompts(std::cin, "standard input", prompts);
  } else if (!arguments.file.empty()) {
    std::ifstream file(arguments.file);
    if (!file) {
      throw Error(ErrorKind::kData, "cannot read", arguments.file);
    }
    read_prompts(file, arguments.file, prompts);
  } else if (prompts.empty()) {
    if (::isatty(STDIN_FILENO) != 0) {
      throw Error(ErrorKind::kConfig, "there is no prompt", {}, "give --prompt TEXT");
    }
    prompts.push_back(
        {{std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()}, {}});
  }
  if (prompts.empty()) {
    throw Error(ErrorKind::kData, "there is no prompt", arguments.file);
  }
  return prompts;
}

void write(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

// Answers in the order of their prompts, each as soon as those before it are done.
class OrderedAnswers {
 public:
  explicit OrderedAnswers(const std::vector<Prompt>& prompts)
      : prompts_(&prompts), texts_(prompts.size()), done_(prompts.size(), false) {}

  void add(std::size_t prompt, const std::string& text) {
    texts_[prompt] = text;
    done_[prompt] = true;
    for (; next_ < done_.size() && done_[next_]; ++next_) {
      write("[" + std::to_string(next_ + 1) + "] " + (*prompts_)[next_].text + "\n" +
            texts_[next_] + "\n\n");
    }
  }

 private:
  const std::vector<Prompt>* prompts_;
  std::vector<std::string> texts_;
  std::vector<bool> done_;
  std::size_t next_ = 0;
};

struct Count {
  std::int64_t prompt_tokens = 0, new_tokens = 0;
  double seconds = 0;
};

void print_json(const Arguments& arguments, const std::vector<Prompt>& prompts,
                const std::vector<Generated>& answers, const Count& count) {
  nlohmann::json list = nlohmann::json::array();
  for (std::size_t i = 0; i < answers.size(); ++i) {
    list.push_back({{"prompt", prompts[i].text},
                    {"text", answers[i].text},
                    {"tokens", answers[i].tokens},
                    {"finish", finish_reason_name(answers[i].reason)}});
  }
  const nlohmann::json document = {{"model", arguments.model},
                                   {"answers", list},
                                   {"prompt_tokens", count.prompt_tokens},
                                   {"new_tokens", count.new_tokens},
                                   {"seconds", count.seconds}};
  // Bytes that are no UTF-8 become U+FFFD: JSON has no others.
  write(document.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

int run(const Arguments& arguments) {
  const std::vector<Prompt> prompts = all_prompts(arguments);
  use_threads(arguments);
  PromptedModel model(arguments.model, arguments.device);
  GenerationOptions options = generation_options(arguments, model);
  options.batch = arguments.batch;
  std::vector<std::vector<std::int32_t>> tokens;
  Count count;
  for (const Prompt& prompt : prompts) {
    tokens.push_back(prompt.ids.empty() ? model.prompt_tokens(prompt.text, arguments.raw)
                                        : model.known_tokens(prompt.ids));
    count.prompt_tokens += std::ssize(tokens.back());
  }
  watch_stop_signals();
  OrderedAnswers ordered(prompts);
  GenerationHooks hooks;
  hooks.interrupted = [] { return stop_signal() != 0; };
  if (!arguments.json && prompts.size() == 1) {
    hooks.on_text = [](std::size_t, std::string_view text) { write(text); };
    hooks.on_done = [](std::size_t, const Generated&) { write("\n"); };
  } else if (!arguments.json) {
    hooks.on_done = [&](std::size_t prompt, const Generated& answer) {
      ordered.add(prompt, answer.text);
    };
  }
  const Stopwatch watch;
  const std::vector<Generated> answers =
      Generator(model.eval()).run(tokens, options, &model.tokenizer(), hooks);
  count.seconds = watch.seconds();
  for (const Generated& answer : answers) {
    count.new_tokens += std::ssize(answer.tokens);
  }
  if (arguments.json) {
    print_json(arguments, prompts, answers, count);
  } else {
    std::fprintf(stderr, "%lld tokens in %.2f s (%.1f tokens/s) after prompts of %lld\n",
                 static_cast<long long>(count.new_tokens), count.seconds,
                 static_cast<double>(count.new_tokens) / count.seconds,
                 static_cast<long long>(count.prompt_tokens));
  }
  return stop_signal() != 0 ? 128 + stop_signal() : 0;
}

}  // namespace

int generate_tool(int argc, char** argv) {
  CLI::App app{
      "Continues prompts. MODEL comes first: a directory that a train stage left, or "
      "CAMPAIGN:TRIAL; adapters are applied.",
      "finescale generate"};
  Arguments arguments;
  declare(app, arguments);
  return run_tool_command(app, argc, argv, arguments.json, [&] { return run(arguments); });
}

}  // namespace finescale
