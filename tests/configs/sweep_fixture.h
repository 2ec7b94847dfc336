// SPDX-License-Identifier: Apache-2.0
// A small valid sweep in a directory of its own, which is the working directory of the test, and
// ways to change single lines of it.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "configs/parse.h"
#include "core/error.h"

namespace finescale {

class SweepTest : public ::testing::Test {
 protected:
  // Line numbers of the tests count from 1 here.
  static std::vector<std::string> valid_lines() {
    return {
        "name: words",                                                    // 1
        "base:",                                                          // 2
        "  preset: tiny",                                                 // 3
        "  tokenizer: {train: {}}",                                       // 4
        "  pretrain: {data: texts.jsonl, train: {steps: 10}}",            // 5
        "data:",                                                          // 6
        "  train: train.jsonl",                                           // 7
        "  eval: [{name: held_out, path: eval.jsonl}]",                   // 8
        "  max_length: 64",                                               // 9
        "trial:",                                                         // 10
        "  stages:",                                                      // 11
        "    - train: {method: {lora: {rank: 4}}, learning_rate: 1e-3}",  // 12
        "    - evaluate: {metrics: [loss]}",                              // 13
        "axes:",                                                          // 14
        "  train.data_budget: [5, 10]",                                   // 15
        "  seed: [1, 2]",                                                 // 16
    };
  }

  void SetUp() override {
    before_ = std::filesystem::current_path();
    directory_ = std::filesystem::path(::testing::TempDir()) /
                 ("finescale_configs_" + std::to_string(::getpid()));
    std::filesystem::create_directories(directory_);
    std::filesystem::current_path(directory_);
    write("texts.jsonl", R"({"text": "one two three"})"
                         "\n");
    std::string train;
    for (int i = 0; i < 20; ++i) {
      train += R"({"prompt": ")" + std::to_string(i) +
               R"(", "response": "x"})"
               "\n";
    }
    write("train.jsonl", train);
    write("eval.jsonl", R"({"prompt": "a", "response": "b"})"
                        "\n");
  }

  void TearDown() override {
    std::filesystem::current_path(before_);
    std::filesystem::remove_all(directory_);
  }

  static void write(const std::string& name, const std::string& text) {
    std::ofstream(name) << text;
  }

  // One line replaced: "\n" in it makes more.
  static std::string with_line(std::size_t number, const std::string& text) {
    std::vector<std::string> lines = valid_lines();
    lines.at(number - 1) = text;
    return joined_lines(lines);
  }
  static std::string valid() { return joined_lines(valid_lines()); }

  static std::string joined_lines(const std::vector<std::string>& lines) {
    std::string all;
    for (const std::string& line : lines) {
      all += line + "\n";
    }
    return all;
  }

  static config::Sweep load(const std::string& text, const std::vector<Override>& overrides = {}) {
    write("sweep.yaml", text);
    return load_sweep("sweep.yaml", overrides);
  }

  // What a user sees, or "" when the text is accepted.
  static std::string error_of(const std::string& text,
                              const std::vector<Override>& overrides = {}) {
    try {
      static_cast<void>(load(text, overrides));
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kConfig);
      std::string what = error.what();
      const std::string here = std::filesystem::current_path().string() + "/";
      if (const std::size_t at = what.find(here); at != std::string::npos) {
        what.replace(at, here.size(), "DIR/");
      }
      return what;
    }
    return "";
  }

  [[nodiscard]] std::string path(const std::string& name) const {
    return (directory_ / name).string();
  }

 private:
  std::filesystem::path before_;
  std::filesystem::path directory_;
};

}  // namespace finescale
