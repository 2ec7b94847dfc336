// SPDX-License-Identifier: Apache-2.0
#include "worker/tool/score_data.h"

#include <fstream>
#include <utility>

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/json_depth.h"
#include "worker/data/dataset.h"

namespace finescale {

namespace {

class IdLines {
 public:
  IdLines(int vocab_size, int max_positions)
      : vocab_size_(vocab_size), max_positions_(max_positions) {}

  [[nodiscard]] ScoredExample example(const nlohmann::json& line, const std::string& where) const {
    ScoredExample example;
    example.ids = numbers(line, "ids", where);
    example.labels = line.contains("labels") ? numbers(line, "labels", where) : example.ids;
    if (example.ids.empty() || std::ssize(example.ids) > max_positions_) {
      throw Error(ErrorKind::kData,
                  "ids has " + std::to_string(example.ids.size()) +
                      " tokens, must have 1 to the model's " + std::to_string(max_positions_),
                  where);
    }
    if (example.labels.size() != example.ids.size()) {
      throw Error(ErrorKind::kData,
                  "labels has " + std::to_string(example.labels.size()) + " entries, ids " +
                      std::to_string(example.ids.size()),
                  where, "labels[t] is the token at t, or -100 where it is not scored");
    }
    check(example.ids, "ids", false, where);
    check(example.labels, "labels", true, where);
    return example;
  }

 private:
  static std::vector<std::int32_t> numbers(const nlohmann::json& line, const char* key,
                                           const std::string& where) {
    const auto found = line.find(key);
    if (found != line.end() && found->is_array()) {
      std::vector<std::int32_t> values;
      for (const nlohmann::json& value : *found) {
        if (!value.is_number_integer()) {
          throw Error(ErrorKind::kData,
                      std::string(key) + " holds " + value.dump() + ", must be whole numbers",
                      where);
        }
        const auto number = value.get<std::int64_t>();
        values.push_back(number < INT32_MIN || number > INT32_MAX
                             ? INT32_MIN
                             : static_cast<std::int32_t>(number));
      }
      return values;
    }
    throw Error(ErrorKind::kData, std::string(key) + " is missing or no list", where,
                R"(lines are {"ids": [...], "labels": [...]} or those of training data)");
  }

  void check(const std::vector<std::int32_t>& ids, const char* key, bool may_skip,
             const std::string& where) const {
    for (const std::int32_t id : ids) {
      if ((id < 0 || id >= vocab_size_) && !(may_skip && id == kNotScored)) {
        throw Error(ErrorKind::kData,
                    std::string(key) + " has " + std::to_string(id) +
                        ", the model's tokens are 0 to " + std::to_string(vocab_size_ - 1),
                    where);
      }
    }
  }

  int vocab_size_;
  int max_positions_;
};

// Nothing when the file's first line is no {"ids"}.
std::vector<ScoredExample> read_ids(const std::string& path, const IdLines& lines) {
  std::ifstream in(path);
  if (!in) {
    throw Error(ErrorKind::kData, "cannot be read", path);
  }
  std::vector<ScoredExample> examples;
  std::string text;
  for (std::int64_t number = 1; std::getline(in, text); ++number) {
    if (text.find_first_not_of(" \t\r") == std::string::npos) {
      continue;
    }
    const std::string where = path + ":" + std::to_string(number);
    if (is_json_too_deep(text)) {
      throw Error(ErrorKind::kData, kJsonTooDeep, where);
    }
    const nlohmann::json line = nlohmann::json::parse(text, nullptr, false);
    if (examples.empty() && !(line.is_object() && line.contains("ids"))) {
      return {};
    }
    if (!line.is_object()) {
      throw Error(ErrorKind::kData, "not a JSON object", where);
    }
    examples.push_back(lines.example(line, where));
  }
  return examples;
}

}  // namespace

std::vector<ScoredExample> read_score_data(const std::string& path, const std::string& tokenizer,
                                           const config::DataRules& rules, int vocab_size,
                                           int max_positions) {
  std::vector<ScoredExample> examples = read_ids(path, IdLines(vocab_size, max_positions));
  if (!examples.empty()) {
    return examples;
  }
  config::DatasetRef ref;
  ref.add_files()->set_path(path);
  config::DataRules own = rules;
  own.set_max_length(max_positions);
  own.clear_eval_fraction();
  const Tokenizer loaded = Tokenizer::load(tokenizer);
  const Dataset dataset(ref, own, loaded);
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    const ExampleView example = dataset[i];
    ScoredExample scored;
    scored.ids.assign(example.tokens.begin(), example.tokens.end());
    scored.labels.assign(scored.ids.size(), kNotScored);
    for (const LabelRange& range : example.learnt) {
      std::copy(scored.ids.begin() + range.begin, scored.ids.begin() + range.end,
                scored.labels.begin() + range.begin);
    }
    examples.push_back(std::move(scored));
  }
  return examples;
}

}  // namespace finescale
