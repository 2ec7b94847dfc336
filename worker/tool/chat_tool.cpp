// SPDX-License-Identifier: Apache-2.0
#include "worker/tool/chat_tool.h"

#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <string>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/stop_signal.h"
#include "worker/tool/generate_arguments.h"
#include "worker/tool/tool_command.h"

namespace finescale {

namespace {

struct ChatArguments : GenerateArguments {
  std::string system;
};

class Conversation {
 public:
  Conversation(const ChatArguments& arguments, PromptedModel& model)
      : arguments_(&arguments), model_(&model), options_(generation_options(arguments, model)) {
    if (!model.has_chat() && !model.form().is_data) {
      throw Error(ErrorKind::kConfig, "the model has no chat template", arguments.model,
                  "use finescale generate");
    }
    if (!model.has_chat() && !arguments.system.empty()) {
      throw Error(ErrorKind::kConfig, "the model has no chat template that takes a system prompt",
                  arguments.model, "leave --system out");
    }
    clear();
  }

  void clear() {
    messages_ = nlohmann::ordered_json::array();
    if (!arguments_->system.empty()) {
      messages_.push_back({{"role", "system"}, {"content", arguments_->system}});
    }
  }

  // Streams the answer. A model without a template was trained on single prompts: it hears nothing
  // of what was said before.
  FinishReason say(const std::string& text) {
    messages_.push_back({{"role", "user"}, {"content", text}});
    const std::vector<std::int32_t> tokens =
        model_->has_chat() ? model_->chat_tokens(messages_) : model_->prompt_tokens(text, false);
    GenerationHooks hooks;
    hooks.interrupted = [] { return stop_signal() != 0; };
    hooks.on_text = [](std::size_t, std::string_view piece) {
      std::fwrite(piece.data(), 1, piece.size(), stdout);
      std::fflush(stdout);
    };
    const Generated answer =
        Generator(model_->eval()).run({tokens}, options_, &model_->tokenizer(), hooks).front();
    ++options_.first_index;  // other random numbers for the next answer
    std::fputc('\n', stdout);
    std::fflush(stdout);
    messages_.push_back({{"role", "assistant"}, {"content", answer.text}});
    if (answer.reason == FinishReason::kPositions) {
      std::fprintf(stderr,
                   "the conversation fills the model's %lld positions: /clear begins anew\n",
                   static_cast<long long>(model_->max_positions()));
    }
    return answer.reason;
  }

 private:
  const ChatArguments* arguments_;
  PromptedModel* model_;
  GenerationOptions options_;
  nlohmann::ordered_json messages_;
};

int run(const ChatArguments& arguments) {
  use_threads(arguments);
  PromptedModel model(arguments.model, arguments.device);
  Conversation conversation(arguments, model);
  const bool terminal = ::isatty(STDIN_FILENO) != 0;
  if (terminal) {
    std::fprintf(stderr, "/clear forgets what was said, /exit or Ctrl-D ends\n");
  }
  std::string line;
  for (;;) {
    if (terminal) {
      std::fputs("> ", stderr);
    }
    if (!std::getline(std::cin, line) || line == "/exit") {
      return 0;
    }
    if (line == "/clear") {
      conversation.clear();
    } else if (line.find_first_not_of(" \t\r") != std::string::npos) {
      watch_stop_signals();
      if (conversation.say(line) == FinishReason::kInterrupted && !terminal) {
        return 130;
      }
      unwatch_stop_signals();  // at the prompt Ctrl-C ends the program
    }
  }
}

}  // namespace

int chat_tool(int argc, char** argv) {
  CLI::App app{
      "A conversation with a model: each line is what you say. MODEL comes first: a "
      "directory or .gguf file, or CAMPAIGN:TRIAL; adapters are applied.",
      "finescale chat"};
  ChatArguments arguments;
  arguments.max_new = 1024;
  add_generate_arguments(app, arguments);
  app.add_option("--system", arguments.system, "what the model is told before the conversation");
  return run_tool_command(app, argc, argv, false, [&] { return run(arguments); });
}

}  // namespace finescale
