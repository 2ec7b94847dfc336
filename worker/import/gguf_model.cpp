// SPDX-License-Identifier: Apache-2.0
#include "worker/import/gguf_model.h"

#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <set>
#include <string_view>

#include "configs/decoder.h"
#include "configs/tensor_names.h"
#include "core/error.h"
#include "worker/import/gguf_families.h"
#include "worker/import/gguf_rope.h"

namespace finescale {

namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr const char* kEmbedding = "token_embd.weight";
constexpr const char* kHead = "output.weight";

// A number that was stored as f32 means the shortest decimal that is stored so: 1e-5, not
// 9.999999747e-06.
double as_written(double value) {
  const auto narrow = static_cast<float>(value);
  if (static_cast<double>(narrow) != value) {
    return value;
  }
  std::array<char, 64> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), narrow).ptr;
  double out = value;
  std::from_chars(text.data(), end, out);
  return out;
}

// Fields of one family's message by name; families have the same names for the same things.
class Fields {
 public:
  Fields(const GgufFile& file, std::string architecture, Message& message)
      : file_(&file), architecture_(std::move(architecture)), message_(&message) {}

  [[nodiscard]] const FieldDescriptor* find(const std::string& name) const {
    return message_->GetDescriptor()->FindFieldByName(name);
  }
  [[nodiscard]] std::string key(const std::string& name) const {
    return architecture_ + "." + name;
  }
  [[nodiscard]] const GgufMetadata& metadata() const { return file_->metadata(); }
  [[nodiscard]] Message& message() const { return *message_; }
  [[nodiscard]] const std::string& architecture() const { return architecture_; }

  [[noreturn]] void unsupported(const std::string& name, const std::string& message) const {
    throw Error(ErrorKind::kConfig, "gguf: " + message, metadata().place(key(name)));
  }

  // A field that the family does not have is left out: it is another family's.
  void set(const std::string& field, std::int64_t value) const {
    if (const FieldDescriptor* found = find(field)) {
      message_->GetReflection()->SetInt32(message_, found, static_cast<std::int32_t>(value));
    }
  }
  void set(const std::string& field, double value) const {
    if (const FieldDescriptor* found = find(field)) {
      message_->GetReflection()->SetDouble(message_, found, value);
    }
  }
  void set(const std::string& field, bool value) const {
    if (const FieldDescriptor* found = find(field)) {
      message_->GetReflection()->SetBool(message_, found, value);
    }
  }

  // A count of the file; every layer's when it is a list, which must then agree.
  [[nodiscard]] std::optional<std::int64_t> count(const std::string& name) const {
    const std::string full = key(name);
    std::optional<std::int64_t> value;
    if (metadata().is_array(full)) {
      for (const std::int64_t one : metadata().integers(full)) {
        if (value && one != *value) {
          unsupported(name, "layers of different sizes are not supported");
        }
        value = one;
      }
    } else {
      value = metadata().integer(full);
    }
    if (value && (*value < 1 || *value > std::numeric_limits<std::int32_t>::max())) {
      throw Error(ErrorKind::kData,
                  "gguf: the value is " + std::to_string(*value) +
                      ", must be at least 1 and a sensible size",
                  metadata().place(full));
    }
    return value;
  }
  [[nodiscard]] std::int64_t needed(const std::string& name) const {
    const std::optional<std::int64_t> value = count(name);
    if (!value) {
      throw Error(ErrorKind::kData, "gguf: the key " + key(name) + " is missing",
                  metadata().path());
    }
    return *value;
  }
  [[nodiscard]] std::optional<double> positive(const std::string& name) const {
    const std::optional<double> value = metadata().number(key(name));
    if (value && !(*value > 0 && std::isfinite(*value))) {
      throw Error(ErrorKind::kData, "gguf: the value must be above 0", metadata().place(key(name)));
    }
    return value ? std::optional(as_written(*value)) : std::nullopt;
  }

 private:
  const GgufFile* file_;
  std::string architecture_;
  Message* message_;
};

// The family's message for general.architecture.
Message& message_of(const GgufFile& file, const std::string& architecture,
                    config::ModelConfig& config) {
  const GgufFamily* family = find_gguf_family(architecture);
  const FieldDescriptor* field =
      family == nullptr ? nullptr : config.GetDescriptor()->FindFieldByName(family->kind);
  if (field == nullptr) {
    throw Error(ErrorKind::kConfig, "gguf: architecture " + architecture + " is not supported",
                file.metadata().place("general.architecture"),
                "supported are " + gguf_family_names());
  }
  return *config.GetReflection()->MutableMessage(&config, field);
}

void read_sizes(const GgufFile& file, const Fields& fields) {
  fields.set("hidden_size", fields.needed("embedding_length"));
  fields.set("num_layers", fields.needed("block_count"));
  fields.set("num_heads", fields.needed("attention.head_count"));
  fields.set(
      "num_kv_heads",
      fields.count("attention.head_count_kv").value_or(fields.needed("attention.head_count")));
  fields.set("intermediate_size", fields.needed("feed_forward_length"));
  fields.set("max_positions", fields.needed("context_length"));
  const FileTensorInfo* embedding = file.find(kEmbedding);
  if (embedding == nullptr || embedding->shape.rank != 2) {
    throw Error(ErrorKind::kData, std::string("gguf: the file has no matrix ") + kEmbedding,
                file.path(), "is it a language model, and the first of its parts?");
  }
  fields.set("vocab_size", embedding->shape[0]);
}

// Width of a head, and how much of it is rotated.
void read_heads(const Fields& fields) {
  const std::int64_t usual =
      fields.needed("embedding_length") / fields.needed("attention.head_count");
  const std::optional<std::int64_t> rotated = fields.count("rope.dimension_count");
  std::int64_t width = fields.count("attention.key_length").value_or(0);
  if (width != 0 && fields.count("attention.value_length").value_or(width) != width) {
    fields.unsupported("attention.value_length", "values and keys of different widths");
  }
  if (fields.find("rotary_fraction") != nullptr) {
    width = width == 0 ? usual : width;
    fields.set("rotary_fraction",
               static_cast<double>(rotated.value_or(width)) / static_cast<double>(width));
  } else if (rotated && width != 0 && *rotated != width) {
    fields.unsupported("rope.dimension_count", "heads that are rotated in part");
  } else if (width == 0) {
    width = rotated.value_or(usual);  // older files give the width of a head so
  }
  if (fields.find("head_dim") != nullptr) {
    fields.set("head_dim", width);
  } else if (width != usual) {
    fields.unsupported("attention.key_length", "heads that do not divide the width");
  }
}

void read_numbers(const Fields& fields) {
  const bool rms = fields.find("rms_norm_eps") != nullptr;
  const char* eps = rms ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon";
  if (const auto value = fields.positive(eps)) {
    fields.set(rms ? "rms_norm_eps" : "layer_norm_eps", *value);
  } else {
    throw Error(ErrorKind::kData, "gguf: the key " + fields.key(eps) + " is missing",
                fields.metadata().path());
  }
  fields.set("rope_theta", fields.positive("rope.freq_base").value_or(10000.0));
  if (const auto parallel = fields.metadata().flag(fields.key("use_parallel_residual"))) {
    fields.set("parallel_residual", *parallel);
  }
  const std::int64_t window = fields.count("attention.sliding_window").value_or(0);
  if (window > 0 && window < fields.needed("context_length")) {
    if (fields.find("sliding_window") == nullptr) {
      fields.unsupported("attention.sliding_window", "a sliding window");
    }
    fields.set("sliding_window", window);
  }
}

// What tensors the file has decides what the configuration of other formats says.
void read_presence(const GgufFile& file, const Fields& fields) {
  const auto has = [&](const char* name) { return file.find(name) != nullptr; };
  fields.set("attention_bias", has("blk.0.attn_output.bias"));
  fields.set("mlp_bias", has("blk.0.ffn_down.bias"));
  fields.set("tie_embeddings", !has(kHead) || file.same_bytes(kHead, kEmbedding));
}

// Every tensor has its place in the model: one that has not, has a meaning that would be lost.
void check_tensors(const GgufFile& file, const config::ModelConfig& config) {
  std::set<std::string> known;
  for (const LogicalShape& tensor : logical_tensors(decoder_shape(config))) {
    const FileTensor place = gguf_tensor(config, tensor.name);
    known.insert(place.name);
    known.insert(place.also.begin(), place.also.end());
  }
  for (const FileTensorInfo& info : file.tensors()) {
    if (!known.contains(info.name) && info.name != kGgufRopeFactors && info.name != kHead) {
      throw Error(ErrorKind::kConfig,
                  "gguf: tensor " + info.name + " has no place in a model of architecture " +
                      std::string(*file.metadata().text("general.architecture")),
                  file.path(), "mixtures of experts and other variants are not supported");
    }
  }
}

}  // namespace

config::ModelConfig model_config_from_gguf(const GgufFile& file) {
  const std::optional<std::string_view> architecture = file.metadata().text("general.architecture");
  if (!architecture) {
    throw Error(ErrorKind::kData, "gguf: the key general.architecture is missing", file.path());
  }
  config::ModelConfig config;
  const Fields fields(file, std::string(*architecture),
                      message_of(file, std::string(*architecture), config));
  read_sizes(file, fields);
  read_heads(fields);
  read_numbers(fields);
  read_presence(file, fields);
  read_gguf_rope(file, fields.architecture(), config);
  check_tensors(file, config);
  return config;
}

std::unique_ptr<WeightSource> open_gguf_source(const std::string& path) {
  auto file = open_gguf(path);
  const config::ModelConfig config = model_config_from_gguf(*file);
  return make_file_source(std::move(file), config, gguf_tensor, {kGgufRopeFactors, kHead});
}

}  // namespace finescale
