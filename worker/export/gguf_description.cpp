// SPDX-License-Identifier: Apache-2.0
// What a GGUF file says of an opened model beside its shape.
#include <filesystem>

#include "checkpoint/formats/gguf.h"
#include "configs/model_directory.h"
#include "core/error.h"
#include "worker/data/end_tokens.h"
#include "worker/data/gguf_side_files.h"
#include "worker/data/tokenizer.h"
#include "worker/data/tokenizer_file.h"
#include "worker/export/gguf_model_file.h"
#include "worker/import/side_files.h"

namespace finescale {

namespace {

// The last part of a path that says something.
std::string name_of(const OpenedModel& model) {
  const std::filesystem::path path(model.files_directory.empty() ? model.checkpoint
                                                                 : model.files_directory);
  const std::filesystem::path last = path.has_filename() ? path : path.parent_path();
  return last.extension() == ".gguf" ? last.stem().string() : last.filename().string();
}

void describe_from_gguf(const GgufMetadata& metadata, GgufExport& out) {
  out.special = read_gguf_special_tokens(metadata);
  out.chat_template = chat_template_from_gguf(metadata);
}

void describe_from_files(const OpenedModel& model, const Tokenizer& tokenizer, GgufExport& out) {
  const SideFiles files = read_side_files(model.files_directory);
  const auto id = [&](const std::optional<std::string>& token) {
    const auto found = token ? tokenizer.token_id(*token) : std::nullopt;
    return found ? std::optional<std::int64_t>(*found) : std::nullopt;
  };
  out.chat_template = files.chat_template.value_or("");
  out.special.bos = id(files.bos_token);
  out.special.eos = id(files.eos_token);
  for (const std::int32_t end : files.eos_ids) {
    if (!out.special.eos) {
      out.special.eos = end;
    } else if (end != *out.special.eos && !out.special.end_of_turn) {
      out.special.end_of_turn = end;
    }
  }
}

}  // namespace

GgufExport describe_gguf(const OpenedModel& model) {
  GgufExport out;
  out.config = model.config;
  out.name = name_of(model);
  out.tokenizer_json = read_tokenizer_text(model.tokenizer);
  out.tokenizer_where = model.tokenizer;
  if (is_gguf_name(model.files_directory)) {
    describe_from_gguf(open_gguf(model.files_directory)->metadata(), out);
    return out;
  }
  const Tokenizer tokenizer = Tokenizer::from_json(out.tokenizer_json, model.tokenizer);
  describe_from_files(model, tokenizer, out);
  if (!out.special.eos) {
    try {
      out.special.eos = end_tokens(model.rules, tokenizer).response;
    } catch (const Error&) {  // other programs then ask the user
      out.special.eos.reset();
    }
  }
  return out;
}

}  // namespace finescale
