// SPDX-License-Identifier: Apache-2.0
#include "configs/tensor_names.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "configs/decoder.h"
#include "configs/families/family.h"
#include "core/error.h"

namespace finescale {

namespace {

// A logical name in parts: layer (-1: none), module below it, "weight" or "bias".
struct LogicalName {
  int layer = -1;
  std::string module;
  std::string suffix;
  std::string whole;
};

LogicalName split_name(const std::string& name) {
  LogicalName parts;
  parts.whole = name;
  std::string rest = name;
  static const std::string kRoot = "model.";
  static const std::string kLayers = "layers.";
  if (rest.starts_with(kRoot)) {
    rest.erase(0, kRoot.size());
  }
  if (rest.starts_with(kLayers)) {
    const char* begin = rest.data() + kLayers.size();
    const char* end = rest.data() + rest.size();
    const auto result = std::from_chars(begin, end, parts.layer);
    FS_CHECK(result.ec == std::errc() && result.ptr != end && *result.ptr == '.',
             "no layer in " + name);
    rest.erase(0, static_cast<std::size_t>(result.ptr + 1 - rest.data()));
  }
  const std::size_t dot = rest.rfind('.');
  FS_CHECK(dot != std::string::npos, "not a tensor's name: " + name);
  parts.module = rest.substr(0, dot);
  parts.suffix = rest.substr(dot + 1);
  return parts;
}

// 0, 1, 2 for q, k, v; -1 for all others.
int qkv_part(const LogicalName& name) {
  static constexpr std::array kModules = {"self_attn.q_proj", "self_attn.k_proj",
                                          "self_attn.v_proj"};
  const auto found = std::find(kModules.begin(), kModules.end(), name.module);
  return found == kModules.end() ? -1 : static_cast<int>(found - kModules.begin());
}

// All layers are alike: one is looked at.
std::int64_t rows_of(DecoderShape shape, const LogicalName& name) {
  if (name.layer < shape.num_layers) {
    const std::string wanted =
        name.layer < 0 ? name.whole : "model.layers.0." + name.module + "." + name.suffix;
    shape.num_layers = 1;
    for (const LogicalShape& tensor : logical_tensors(shape)) {
      if (tensor.name == wanted) {
        return tensor.rows;
      }
    }
  }
  throw Error(ErrorKind::kInternal, "the model has no tensor " + name.whole);
}

// Where part 0, 1, 2 of a packed projection lies among its rows.
void place_packed(const DecoderShape& shape, QkvPacking packing, int part, FileTensor& file) {
  const std::int64_t query = shape.query();
  const std::int64_t key = shape.key();
  file.file_rows = query + 2 * key;
  if (packing == QkvPacking::kStacked) {
    file.block = part == 0 ? query : key;
    file.first_row = part == 0 ? 0 : query + (part - 1) * key;
    file.stride = 0;
    return;
  }
  file.block = shape.head_dim;
  file.stride = std::int64_t{3} * shape.head_dim;
  file.first_row = std::int64_t{part} * shape.head_dim;
}

std::string renamed(const FamilyFiles& files, const std::string& module) {
  for (const auto& [ours, theirs] : files.renamed) {
    if (ours == module) {
      return theirs;
    }
  }
  return module;
}

// Names with and without the root, which models saved without their head lack.
void set_names(const FamilyFiles& files, const LogicalName& name, const std::string& module,
               FileTensor& file) {
  const std::string tail = "." + name.suffix;
  if (name.module == "lm_head") {
    file.name = module + tail;
    for (const std::string& other : files.also_head) {
      file.also.push_back(other + tail);
    }
    return;
  }
  const std::string layer = name.layer < 0 ? "" : files.layers + std::to_string(name.layer) + ".";
  file.name = files.root + layer + module + tail;
  file.also = {layer + module + tail};
}

}  // namespace

FileTensor hf_tensor(const config::ModelConfig& config, const std::string& logical_name) {
  const DecoderShape shape = decoder_shape(config);
  const FamilyFiles files = family_of(config).files();
  const LogicalName name = split_name(logical_name);
  FileTensor file;
  file.file_rows = file.block = rows_of(shape, name);
  const int part = qkv_part(name);
  const bool packed = part >= 0 && files.packing != QkvPacking::kSeparate;
  if (packed) {
    place_packed(shape, files.packing, part, file);
  }
  set_names(files, name, packed ? files.packed_qkv : renamed(files, name.module), file);
  const bool is_norm = name.module.ends_with("norm");
  file.transposed =
      files.layers_transposed && name.layer >= 0 && name.suffix == "weight" && !is_norm;
  return file;
}

std::vector<std::string> hf_ignored_suffixes(const config::ModelConfig& config) {
  const FamilyFiles files = family_of(config).files();
  std::vector<std::string> suffixes = files.ignored_suffixes;
  if (unchecked_shape(config).tied) {
    suffixes.push_back(renamed(files, "lm_head") + ".weight");
    for (const std::string& other : files.also_head) {
      suffixes.push_back(other + ".weight");
    }
  }
  return suffixes;
}

namespace {

// The same words for every architecture.
constexpr std::array<std::pair<const char*, const char*>, 15> kGgufModules = {
    {{"embed_tokens", "token_embd"},
     {"embed_positions", "position_embd"},
     {"norm", "output_norm"},
     {"lm_head", "output"},
     {"input_layernorm", "attn_norm"},
     {"post_attention_layernorm", "ffn_norm"},
     {"self_attn.q_proj", "attn_q"},
     {"self_attn.k_proj", "attn_k"},
     {"self_attn.v_proj", "attn_v"},
     {"self_attn.o_proj", "attn_output"},
     {"self_attn.q_norm", "attn_q_norm"},
     {"self_attn.k_norm", "attn_k_norm"},
     {"mlp.gate_proj", "ffn_gate"},
     {"mlp.up_proj", "ffn_up"},
     {"mlp.down_proj", "ffn_down"}}};

std::string gguf_module(const LogicalName& name) {
  for (const auto& [ours, theirs] : kGgufModules) {
    if (name.module == ours) {
      return theirs;
    }
  }
  throw Error(ErrorKind::kInternal, "GGUF has no name for " + name.whole);
}

}  // namespace

// Converters to GGUF stack packed projections as q, k, v whatever the order in the family's files,
// and store [out, in].
FileTensor gguf_tensor(const config::ModelConfig& config, const std::string& logical_name) {
  const DecoderShape shape = decoder_shape(config);
  const FamilyFiles files = family_of(config).files();
  const LogicalName name = split_name(logical_name);
  FileTensor file;
  file.file_rows = file.block = rows_of(shape, name);
  const int part = qkv_part(name);
  std::string module = gguf_module(name);
  if (part >= 0 && files.packing != QkvPacking::kSeparate) {
    place_packed(shape, QkvPacking::kStacked, part, file);
    module = "attn_qkv";
  } else if (files.gguf_interleaved && (part == 0 || part == 1)) {
    file.rotary_heads = part == 0 ? shape.num_heads : shape.num_kv_heads;
  }
  const std::string layer = name.layer < 0 ? "" : "blk." + std::to_string(name.layer) + ".";
  file.name = layer + module + "." + name.suffix;
  if (shape.norm_offset != 0 && name.module.ends_with("norm")) {
    file.addend = -shape.norm_offset;
  }
  return file;
}

}  // namespace finescale
