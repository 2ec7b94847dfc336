// SPDX-License-Identifier: Apache-2.0
#include "worker/import/peft_config.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstdint>
#include <set>
#include <string_view>
#include <type_traits>

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/files.h"
#include "core/json_depth.h"

namespace finescale {

namespace {

// Keys that change what the adapter computes when they are set to anything. PEFT adds keys with
// every version; others are taken to be about training.
constexpr std::array<std::string_view, 12> kUnsupported = {
    "lora_bias",    "modules_to_save", "trainable_token_indices", "layer_replication",
    "use_qalora",   "use_bdlora",      "alora_invocation_tokens", "target_parameters",
    "arrow_config", "kasa_config",     "velora_config",           "monteclora_config"};
// Ways to begin that leave the base as it was.
const std::set<std::string> kHarmlessInits = {"gaussian", "orthogonal", "eva", "lora"};

bool is_set(const nlohmann::json& value) {
  return !(value.is_null() || value == false || value == 0 || value == "" || value == "none" ||
           ((value.is_array() || value.is_object()) && value.empty()));
}

// Ranks are whole numbers of a sensible size: the JSON library casts whatever is a number.
template <class T>
bool holds(const nlohmann::json& value) {
  constexpr std::uint64_t kMaxRank = 1U << 20;
  if constexpr (std::is_same_v<T, int>) {
    return value.is_number_unsigned() && value.get<std::uint64_t>() >= 1 &&
           value.get<std::uint64_t>() <= kMaxRank;
  } else if constexpr (std::is_same_v<T, double>) {
    return value.is_number();
  } else if constexpr (std::is_same_v<T, bool>) {
    return value.is_boolean();
  } else {
    return value.is_string();
  }
}

class Reader {
 public:
  explicit Reader(const std::string& path) : path_(path) {
    try {
      const std::string text = read_file(path);
      if (is_json_too_deep(text)) {
        throw Error(ErrorKind::kConfig, kJsonTooDeep, path);
      }
      json_ = nlohmann::json::parse(text);
    } catch (const nlohmann::json::exception& error) {
      throw Error(ErrorKind::kConfig, std::string("not valid JSON: ") + error.what(), path);
    } catch (const Error& error) {
      throw Error(ErrorKind::kConfig, error.message(), path,
                  "an adapter is a directory that PEFT's save_pretrained wrote");
    }
    if (!json_.is_object()) {
      throw Error(ErrorKind::kConfig, "must be a JSON object", path);
    }
  }

  [[nodiscard]] PeftConfig read() const {
    PeftConfig config;
    config.path = path_;
    config.base_model = get<std::string>("base_model_name_or_path", "", "a text");
    const auto type = get<std::string>("peft_type", "", "a text");
    config.is_ia3 = type == "IA3";
    config.is_vera = type == "VERA";
    config.is_prompt = type == "PROMPT_TUNING";
    config.is_prefix = type == "PREFIX_TUNING";
    const bool has_tokens = config.is_prompt || config.is_prefix;
    if (type != "LORA" && type != "IA3" && type != "VERA" && !has_tokens) {
      fail("peft_type", "is \"" + type + "\"",
           "LORA, IA3, VERA, PROMPT_TUNING and PREFIX_TUNING are supported");
    }
    check_unsupported();
    if (has_tokens && get<int>("num_transformer_submodules", 1, "a whole number") != 1) {
      fail("num_transformer_submodules", "is not 1",
           "only models without an encoder are supported");
    }
    if (config.is_ia3 || has_tokens) {
      return config;
    }
    if (config.is_vera) {
      config.rank = get<int>("r", 256, "a whole number from 1 to 2^20");
      if (!get<bool>("save_projection", true, "true or false")) {
        fail("save_projection", "is false: the random matrices are not in the file",
             "save it with save_projection: true, or merge the adapter with PEFT");
      }
      return config;
    }
    config.is_dora = get<bool>("use_dora", false, "true or false");
    config.is_rank_stabilised = get<bool>("use_rslora", false, "true or false");
    config.rank = get<int>("r", 8, "a whole number from 1 to 2^20");
    config.alpha = get<double>("lora_alpha", 8, "a number");
    config.rank_pattern = pattern<int>("rank_pattern");
    config.alpha_pattern = pattern<double>("alpha_pattern");
    return config;
  }

 private:
  [[noreturn]] void fail(const std::string& key, const std::string& message,
                         const std::string& hint = "") const {
    throw Error(ErrorKind::kConfig, key + " " + message, path_, hint);
  }

  template <class T>
  [[nodiscard]] T get(const char* key, T otherwise, const char* wanted) const {
    const auto found = json_.find(key);
    if (found == json_.end() || found->is_null()) {
      return otherwise;
    }
    if (!holds<T>(*found)) {
      fail(key, std::string("must be ") + wanted);
    }
    return found->get<T>();
  }

  void check_unsupported() const {
    const char* const hint = "merge the adapter with PEFT and start from the merged model";
    for (const std::string_view key : kUnsupported) {
      const auto found = json_.find(key);
      if (found != json_.end() && is_set(*found)) {
        fail(std::string(key), "is set, which is not supported", hint);
      }
    }
    if (const auto bias = get<std::string>("bias", "none", "a text"); bias != "none") {
      fail("bias", "is \"" + bias + "\", only none is supported", hint);
    }
    const auto init = json_.find("init_lora_weights");
    if (init != json_.end() && init->is_string() &&
        !kHarmlessInits.contains(init->get<std::string>())) {
      fail("init_lora_weights", "is " + init->dump() + ", which changes the base model too",
           "save it with path_initial_model_for_weight_conversion, or merge it with PEFT");
    }
  }

  // Names of modules; PEFT takes regular expressions too, of which only plain names are read.
  template <class T>
  [[nodiscard]] std::map<std::string, T> pattern(const char* key) const {
    std::map<std::string, T> values;
    const auto found = json_.find(key);
    if (found == json_.end() || found->is_null()) {
      return values;
    }
    if (!found->is_object()) {
      fail(key, "must be an object of module names and numbers");
    }
    for (const auto& [name, value] : found->items()) {
      const bool is_plain = std::all_of(name.begin(), name.end(), [](unsigned char c) {
        return std::isalnum(c) != 0 || c == '_' || c == '.';
      });
      if (!is_plain || !holds<T>(value)) {
        fail(key,
             "has \"" + name + "\": " + value.dump() + ", must be a module's name and a number",
             "regular expressions are not supported: merge the adapter with PEFT");
      }
      values[name] = value.template get<T>();
    }
    return values;
  }

  std::string path_;
  nlohmann::json json_;
};

template <class T>
T lookup(const std::map<std::string, T>& pattern, const std::string& module, T otherwise) {
  for (const auto& [name, value] : pattern) {
    if (module == name || module.ends_with("." + name)) {
      return value;
    }
  }
  return otherwise;
}

}  // namespace

PeftConfig::Scaled PeftConfig::of_module(const std::string& module) const {
  const int r = lookup(rank_pattern, module, rank);
  const double numerator = lookup(alpha_pattern, module, alpha);
  return {r, numerator / (is_rank_stabilised ? std::sqrt(static_cast<double>(r)) : r)};
}

PeftConfig read_peft_config(const std::string& path) {
  return Reader(path).read();
}

}  // namespace finescale
