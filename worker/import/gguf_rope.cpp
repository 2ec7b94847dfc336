// SPDX-License-Identifier: Apache-2.0
#include "worker/import/gguf_rope.h"

#include <algorithm>
#include <cmath>

#include "configs/decoder.h"
#include "core/error.h"

namespace finescale {

namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// rope_scaling of the family that is set; null when it has no such field.
config::RopeScaling* scaling_of(config::ModelConfig& config) {
  const auto* reflection = config.GetReflection();
  const FieldDescriptor* kind =
      reflection->GetOneofFieldDescriptor(config, config.GetDescriptor()->oneof_decl(0));
  Message* family = reflection->MutableMessage(&config, kind);
  const FieldDescriptor* field = family->GetDescriptor()->FindFieldByName("rope_scaling");
  return field == nullptr ? nullptr
                          : dynamic_cast<config::RopeScaling*>(
                                family->GetReflection()->MutableMessage(family, field));
}

// The converters' context before it was extended; the other numbers are the family's.
config::RopeScaling llama3_scaling(double factor) {
  config::RopeScaling scaling;
  scaling.mutable_llama3()->set_factor(factor);
  return scaling;
}

std::vector<float> read_factors(const GgufFile& file, const FileTensorInfo& info,
                                const config::ModelConfig& config) {
  const std::int64_t count = info.shape.num_elements();
  if (count != decoder_shape(config).rotary_dim / 2) {
    throw Error(ErrorKind::kData,
                "gguf: " + info.name + " has " + std::to_string(count) + " factors, must have " +
                    std::to_string(decoder_shape(config).rotary_dim / 2),
                file.path());
  }
  std::vector<float> factors(static_cast<std::size_t>(count));
  file.read(info, 0, count, TensorView(factors.data(), DType::kF32, {count}));
  if (!std::all_of(factors.begin(), factors.end(),
                   [](float f) { return f > 0 && std::isfinite(f); })) {
    throw Error(ErrorKind::kData, "gguf: " + info.name + " has factors that are not above 0",
                file.path());
  }
  return factors;
}

bool close(const std::vector<float>& a, const std::vector<float>& b) {
  constexpr float kRelative = 1e-5F;  // converters compute in f32
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](float x, float y) { return std::abs(x - y) <= kRelative * std::abs(x); });
}

void set_factors(const std::vector<float>& factors, config::ModelConfig& config) {
  config::RopeScaling& scaling = *scaling_of(config);
  scaling = llama3_scaling(*std::max_element(factors.begin(), factors.end()));
  if (close(factors, gguf_rope_factors(config))) {
    return;
  }
  scaling.Clear();
  for (const float factor : factors) {
    scaling.mutable_factors()->add_factors(factor);
  }
}

void read_linear(const GgufMetadata& metadata, const std::string& architecture,
                 config::ModelConfig& config) {
  const std::string type_key = architecture + ".rope.scaling.type";
  const std::string_view type = metadata.text(type_key).value_or("");
  std::string factor_key = architecture + ".rope.scaling.factor";
  if (type.empty() && metadata.has(architecture + ".rope.scale_linear")) {  // older files
    factor_key = architecture + ".rope.scale_linear";
  } else if (type.empty() || type == "none") {
    return;
  } else if (type != "linear") {
    throw Error(ErrorKind::kConfig,
                "gguf: rotary scaling of type " + std::string(type) + " is not supported",
                metadata.place(type_key), "none and linear are");
  }
  const double factor = metadata.number(factor_key).value_or(1);
  if (!(factor > 0) || !std::isfinite(factor)) {
    throw Error(ErrorKind::kData, "gguf: the factor must be above 0", metadata.place(factor_key));
  }
  if (factor != 1) {
    config::RopeScaling* scaling = scaling_of(config);
    if (scaling == nullptr) {
      throw Error(ErrorKind::kConfig, "gguf: this architecture has no rotary positions to scale",
                  metadata.place(factor_key));
    }
    scaling->mutable_linear()->set_factor(factor);
  }
}

}  // namespace

void read_gguf_rope(const GgufFile& file, const std::string& architecture,
                    config::ModelConfig& config) {
  read_linear(file.metadata(), architecture, config);
  const FileTensorInfo* info = file.find(kGgufRopeFactors);
  if (info == nullptr || !decoder_shape(config).has_rotation()) {
    return;
  }
  if (decoder_shape(config).rope.kind != RopeScaling::Kind::kNone) {
    throw Error(
        ErrorKind::kConfig,
        "gguf: frequencies are stretched twice, by a key and by " + std::string(kGgufRopeFactors),
        file.path());
  }
  const std::vector<float> factors = read_factors(file, *info, config);
  if (std::any_of(factors.begin(), factors.end(), [](float f) { return f != 1; })) {
    set_factors(factors, config);
  }
}

std::vector<float> gguf_rope_factors(const config::ModelConfig& config) {
  DecoderShape shape = decoder_shape(config);
  if (shape.rope.kind == RopeScaling::Kind::kNone ||
      shape.rope.kind == RopeScaling::Kind::kLinear) {
    return {};
  }
  const std::vector<double> stretched = inverse_frequencies(shape);
  shape.rope = {};
  const std::vector<double> plain = inverse_frequencies(shape);
  std::vector<float> factors;
  for (std::size_t i = 0; i < plain.size(); ++i) {
    factors.push_back(static_cast<float>(plain[i] / stretched[i]));
  }
  return factors;
}

}  // namespace finescale
