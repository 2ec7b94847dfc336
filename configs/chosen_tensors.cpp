// SPDX-License-Identifier: Apache-2.0
#include "configs/chosen_tensors.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>
#include <string_view>
#include <utility>

#include "configs/nearest_name.h"

namespace finescale {

namespace {

constexpr std::string_view kLayers = "model.layers.";

// * stands for any letters.
bool fits(std::string_view pattern, std::string_view text) {
  const std::size_t star = pattern.find('*');
  if (star == std::string_view::npos) {
    return pattern == text;
  }
  if (text.substr(0, star) != pattern.substr(0, star)) {
    return false;
  }
  const std::string_view rest = pattern.substr(star + 1);
  for (std::size_t i = star; i <= text.size(); ++i) {
    if (fits(rest, text.substr(i))) {
      return true;
    }
  }
  return false;
}

std::vector<std::string> parts_of(const std::string& name) {
  std::vector<std::string> parts(1);
  for (const char letter : name) {
    if (letter == '.') {
      parts.emplace_back();
    } else {
      parts.back() += letter;
    }
  }
  return parts;
}

}  // namespace

std::optional<TensorChoice> tensor_choice(const config::Method& method) {
  if (method.has_selective()) {
    return TensorChoice{
        {method.selective().parameters().begin(), method.selective().parameters().end()},
        {method.selective().layers().begin(), method.selective().layers().end()}};
  }
  if (method.has_bitfit()) {
    return TensorChoice{{"bias"}, {}};
  }
  return std::nullopt;
}

int layer_of(const std::string& tensor) {
  int layer = -1;
  if (tensor.starts_with(kLayers)) {
    std::from_chars(tensor.data() + kLayers.size(), tensor.data() + tensor.size(), layer);
  }
  return layer;
}

bool matches(const std::string& pattern, const std::string& tensor) {
  return fits(pattern, tensor) || fits("*." + pattern, tensor) || fits(pattern + ".*", tensor) ||
         fits("*." + pattern + ".*", tensor);
}

bool is_chosen(const TensorChoice& choice, const std::string& tensor) {
  if (!choice.layers.empty() && std::find(choice.layers.begin(), choice.layers.end(),
                                          layer_of(tensor)) == choice.layers.end()) {
    return false;
  }
  return choice.patterns.empty() ||
         std::any_of(choice.patterns.begin(), choice.patterns.end(),
                     [&](const std::string& pattern) { return matches(pattern, tensor); });
}

std::vector<LogicalShape> chosen_tensors(const DecoderShape& model, const TensorChoice& choice) {
  std::vector<LogicalShape> chosen;
  for (LogicalShape& tensor : logical_tensors(model)) {
    if (is_chosen(choice, tensor.name)) {
      chosen.push_back(std::move(tensor));
    }
  }
  return chosen;
}

// Compared are runs of as many parts as the pattern has: q_prj with q_proj, not with whole names.
std::string nearest_tensor(const DecoderShape& model, const std::string& pattern) {
  std::string wanted = pattern;
  wanted.erase(std::remove(wanted.begin(), wanted.end(), '*'), wanted.end());
  while (!wanted.empty() && wanted.front() == '.') {
    wanted.erase(0, 1);
  }
  while (!wanted.empty() && wanted.back() == '.') {
    wanted.pop_back();
  }
  const std::size_t length = parts_of(wanted).size();
  std::vector<std::string> runs;
  std::vector<std::string> tensors;
  for (const LogicalShape& tensor : logical_tensors(model)) {
    const std::vector<std::string> parts = parts_of(tensor.name);
    for (std::size_t first = 0; first + length <= parts.size(); ++first) {
      std::string run;
      for (std::size_t i = first; i < first + length; ++i) {
        run += (i == first ? "" : ".") + parts[i];
      }
      if (std::find(runs.begin(), runs.end(), run) == runs.end()) {
        runs.push_back(std::move(run));
        tensors.push_back(tensor.name);
      }
    }
  }
  const std::string nearest = nearest_name(wanted, runs);
  const auto found = std::find(runs.begin(), runs.end(), nearest);
  return found == runs.end() ? "" : tensors[static_cast<std::size_t>(found - runs.begin())];
}

bool is_lift_target(const config::Lift& config, const std::string& tensor) {
  const auto& modules = config.target_modules();
  return tensor.ends_with("_proj.weight") &&
         (modules.empty() ||
          std::any_of(modules.begin(), modules.end(), [&](const std::string& module) {
            return tensor.ends_with("." + module + ".weight");
          }));
}

std::int64_t lift_count(const config::Lift& config, std::int64_t rows, std::int64_t columns) {
  const double wanted = config.has_adapter_rank()
                            ? static_cast<double>(config.adapter_rank() * (rows + columns))
                            : config.density() * static_cast<double>(rows * columns);
  return std::clamp<std::int64_t>(std::llround(wanted), 1, rows * columns);
}

std::optional<std::vector<LogicalShape>> trained_tensors(const config::Method& method,
                                                         const DecoderShape& model) {
  if (const auto choice = tensor_choice(method)) {
    return chosen_tensors(model, *choice);
  }
  if (!method.has_lift()) {
    return std::nullopt;
  }
  std::vector<LogicalShape> trained;
  for (LogicalShape& tensor : logical_tensors(model)) {
    if (is_lift_target(method.lift(), tensor.name)) {
      trained.push_back(std::move(tensor));
    }
  }
  return trained;
}

namespace {

// Walks through a layer as the tape does: what needs a gradient is what something before it trains.
class LayerWalk {
 public:
  LayerWalk(const DecoderShape& model, const std::set<std::string>& trained, int layer)
      : model_(model), trained_(trained), prefix_(std::string(kLayers) + std::to_string(layer)) {}

  // below: whether the residual stream needs a gradient. Returns whether it does afterwards.
  bool run(bool below, BackwardWork& work) {
    const std::int64_t width = model_.hidden_size;
    const std::int64_t query = model_.query();
    const std::int64_t key = model_.key();
    const std::int64_t inner = model_.intermediate_size;
    const bool first = below || trains(".input_layernorm");
    bool branch = matrices({".self_attn.q_proj", ".self_attn.k_proj", ".self_attn.v_proj"},
                           {query * width, key * width, key * width}, first, work);
    branch = branch || trains(".self_attn.q_norm") || trains(".self_attn.k_norm");
    work.attention += branch ? 1 : 0;
    branch = matrices({".self_attn.o_proj"}, {query * width}, branch, work);
    const bool stream = below || (branch && !model_.parallel_residual);
    bool second = model_.shared_norm ? first : stream || trains(".post_attention_layernorm");
    if (model_.gated) {
      second = matrices({".mlp.gate_proj", ".mlp.up_proj"}, {inner * width, inner * width}, second,
                        work);
    } else {
      second = matrices({".mlp.up_proj"}, {inner * width}, second, work);
    }
    second = matrices({".mlp.down_proj"}, {inner * width}, second, work);
    return below || branch || second;
  }

 private:
  [[nodiscard]] bool has(const std::string& module, const char* kind) const {
    return trained_.contains(prefix_ + module + kind);
  }
  [[nodiscard]] bool trains(const std::string& module) const {
    return has(module, ".weight") || has(module, ".bias");
  }
  // One product of a stack. Returns whether its output needs a gradient.
  bool matrices(std::initializer_list<const char*> modules,
                std::initializer_list<std::int64_t> sizes, bool input, BackwardWork& work) const {
    bool output = input;
    const std::int64_t* size = sizes.begin();
    for (const char* const module : modules) {
      work.inputs += input ? *size : 0;
      work.weights += has(module, ".weight") ? *size : 0;
      output = output || trains(module);
      ++size;
    }
    return output;
  }

  const DecoderShape& model_;
  const std::set<std::string>& trained_;
  std::string prefix_;
};

}  // namespace

BackwardWork backward_work(const DecoderShape& model, const std::vector<LogicalShape>& trained) {
  std::set<std::string> names;
  for (const LogicalShape& tensor : trained) {
    names.insert(tensor.name);
  }
  BackwardWork work;
  const bool embedding = names.contains("model.embed_tokens.weight");
  bool stream = embedding || names.contains("model.embed_positions.weight");
  bool found = stream;
  for (int layer = 0; layer < model.num_layers; ++layer) {
    stream = LayerWalk(model, names, layer).run(stream, work);
    if (!found && stream) {
      work.first_layer = layer;
      found = true;
    }
  }
  work.first_layer = found ? work.first_layer : model.num_layers;
  work.head_inputs =
      stream || names.contains("model.norm.weight") || names.contains("model.norm.bias");
  work.head_weights = model.tied ? embedding : names.contains("lm_head.weight");
  return work;
}

}  // namespace finescale
