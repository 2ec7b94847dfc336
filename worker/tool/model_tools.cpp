// SPDX-License-Identifier: Apache-2.0
#include "worker/tool/model_tools.h"

#include <cstdio>
#include <iostream>
#include <map>
#include <string>

#include <nlohmann/json.hpp>

#include "worker/export/export_model.h"
#include "worker/export/new_directory.h"
#include "worker/tool/score_tool.h"
#include "worker/tool/tool_command.h"
#include "worker/tool/tool_gpu.h"

namespace finescale {

namespace {

// What every one of these commands takes.
struct ModelArguments {
  std::string path;
  std::string base;
  bool json = false;

  void add_to(CLI::App& app, const char* name) {
    app.add_option(name, path,
                   "a directory with config.json, a .gguf file, a checkpoint directory, a PEFT "
                   "directory, or DIR:TRIAL")
        ->required();
    app.add_option("--base", base, "the model of a PEFT adapter, if not where the adapter says");
    app.add_flag("--json", json, "as JSON on standard output");
  }
};

int write_model(const ModelArguments& model, const ExportOptions& options) {
  refuse_existing(options.target);  // before anything large is read
  OpenedModel opened = open_model(model.path, model.base);
  export_model(opened, options);
  if (model.json) {
    std::cout << nlohmann::json{{"path", options.target}}.dump() << "\n";
  }
  std::fprintf(stderr, "wrote %s\n", options.target.c_str());
  return 0;
}

void print_scores(const std::string& text) {
  const nlohmann::json scores = nlohmann::json::parse(text);
  const nlohmann::json& examples = scores.at("examples");
  for (std::size_t i = 0; i < examples.size(); ++i) {
    std::cout << i + 1 << ": " << examples[i].at("ids").size() << " tokens, loss "
              << examples[i].at("loss").dump() << "\n";
  }
  std::cout << "loss " << scores.at("loss").dump() << " over " << scores.at("tokens").dump()
            << " scored tokens of " << examples.size() << " examples\n";
}

}  // namespace

int export_tool(int argc, char** argv) {
  CLI::App app("write a trial or a model for other programs", "finescale export");
  ModelArguments model;
  ExportOptions options;
  model.add_to(app, "MODEL");
  app.add_option("--to", options.target, "directory (gguf: file) to make; it must not exist")
      ->required();
  app.add_option("--format", options.format, "hf, peft, gguf, or hdf5 for a checkpoint of ours")
      ->required()
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, ExportFormat>{{"hf", ExportFormat::kHuggingFace},
                                              {"peft", ExportFormat::kPeft},
                                              {"gguf", ExportFormat::kGguf},
                                              {"hdf5", ExportFormat::kCheckpoint}}));
  app.add_flag("--merge", options.merge, "an adapter into its base");
  app.add_option("--dtype", options.type, "of the weights of hf: f32 (default), bf16 or f16")
      ->transform(CLI::CheckedTransformer(std::map<std::string, StoredType>{
          {"f32", StoredType::kF32}, {"bf16", StoredType::kBf16}, {"f16", StoredType::kF16}}));
  app.add_option("--type", options.gguf_type, "of the matrices of gguf: f16 (default), q8_0 or f32")
      ->transform(CLI::CheckedTransformer(std::map<std::string, GgufType>{
          {"f16", GgufType::kF16}, {"q8_0", GgufType::kQ80}, {"f32", GgufType::kF32}}));
  app.add_option("--max-file-bytes", options.max_file_bytes,
                 "weights above it are cut into shards (default 5 GiB)")
      ->check(CLI::PositiveNumber);
  return run_tool_command(app, argc, argv, model.json, [&] { return write_model(model, options); });
}

int import_tool(int argc, char** argv) {
  CLI::App app("make a checkpoint of a model in the files of other programs", "finescale import");
  ModelArguments model;
  ExportOptions options;
  options.format = ExportFormat::kCheckpoint;
  options.merge = true;
  model.add_to(app, "PATH");
  app.add_option("--to", options.target, "directory to make; it must not exist")->required();
  return run_tool_command(app, argc, argv, model.json, [&] { return write_model(model, options); });
}

int score_tool(int argc, char** argv) {
  CLI::App app("log-probabilities of a model on the examples of a file", "finescale score");
  ModelArguments model;
  ScoreOptions options;
  model.add_to(app, "MODEL");
  app.add_option("--data", options.data,
                 R"(lines of training data, or {"ids": [...], "labels": [...]})")
      ->required();
  app.add_option("--top", options.top, "logits of the last position to show")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--threads", options.threads, "0: all cores")->check(CLI::NonNegativeNumber);
  options.device = "auto";
  add_device_option(app, options.device);
  return run_tool_command(app, argc, argv, model.json, [&] {
    OpenedModel opened = open_model(model.path, model.base);
    const std::string text = score_model(opened, options);
    model.json ? void(std::cout << text << "\n") : print_scores(text);
    return 0;
  });
}

}  // namespace finescale
