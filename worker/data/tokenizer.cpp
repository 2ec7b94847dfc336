// SPDX-License-Identifier: Apache-2.0
#include "worker/data/tokenizer.h"

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/json_depth.h"
#include "worker/data/tokenizer_file.h"
#include "worker/data/tokenizers/added_tokens.h"
#include "worker/data/tokenizers/decoder.h"
#include "worker/data/tokenizers/model.h"
#include "worker/data/tokenizers/normalizer.h"
#include "worker/data/tokenizers/post_processor.h"
#include "worker/data/tokenizers/pretokenizer.h"
#include "worker/data/tokenizers/unicode.h"

namespace finescale {

namespace {

const JsonNode* pointer(const std::optional<JsonNode>& node) {
  return node ? &*node : nullptr;
}

}  // namespace

struct Tokenizer::Impl {
  explicit Impl(const JsonNode& root);

  void encode(std::string_view text, bool as_data, std::vector<std::int32_t>& out) const;
  void encode_part(std::string_view text, bool at_start, bool as_data,
                   std::vector<std::int32_t>& out) const;
  void encode_piece(const Piece& piece, std::vector<std::int32_t>& out) const;
  [[nodiscard]] std::optional<std::string_view> text_of(std::int32_t id) const;

  std::string json;
  NormalizerPtr normalizer;
  PreTokenizerPtr pretokenizer;
  std::unique_ptr<TokenModel> model;
  AddedTokens added;
  PostProcessor post_processor;
  Decoder decoder;
  bool takes_bytes = false;  // bytes that are not UTF-8 have tokens
  mutable PieceList pieces;
};

Tokenizer::Impl::Impl(const JsonNode& root)
    : post_processor(pointer(root.find("post_processor"))), decoder(pointer(root.find("decoder"))) {
  if (const auto version = root.find("version"); version && version->text() != "1.0") {
    version->unsupported("version " + version->text());
  }
  if (const auto node = root.find("normalizer")) {
    normalizer = make_normalizer(*node);
  }
  const JsonNode model_node = root.at("model");
  const auto cut = root.find("pre_tokenizer");
  const bool byte_level = cut && ends_in_byte_level(*cut);
  const bool bytes_in_model = byte_level && model_type(model_node) == "BPE";
  if (cut) {
    pretokenizer = make_pretokenizer(*cut, bytes_in_model);
  }
  model = make_model(model_node, bytes_in_model);
  takes_bytes = byte_level || (normalizer != nullptr && normalizer->takes_bytes());
  if (const auto list = root.find("added_tokens")) {
    added = AddedTokens(*list, *model, normalizer.get());
  }
}

void Tokenizer::Impl::encode(std::string_view text, bool as_data,
                             std::vector<std::int32_t>& out) const {
  std::string repaired;
  if (!takes_bytes && !is_valid_utf8(text)) {
    repaired = replace_invalid(text);
    text = repaired;
  }
  added.split(text, AddedTokens::In::kRaw, as_data,
              [&](std::string_view part, std::size_t begin, std::optional<std::int32_t> id) {
                if (id) {
                  out.push_back(*id);
                } else {
                  encode_part(part, begin == 0, as_data, out);
                }
              });
}

void Tokenizer::Impl::encode_part(std::string_view text, bool at_start, bool as_data,
                                  std::vector<std::int32_t>& out) const {
  NormalText normal;
  normal.at_start = at_start;
  if (normalizer != nullptr) {
    normal.text = text;
    normalize_runs(*normalizer, normal);
    text = normal.text;
  }
  added.split(text, AddedTokens::In::kNormalized, as_data,
              [&](std::string_view part, std::size_t begin, std::optional<std::int32_t> id) {
                if (id) {
                  out.push_back(*id);
                } else {
                  encode_piece({part, begin == 0 && normal.at_start}, out);
                }
              });
}

void Tokenizer::Impl::encode_piece(const Piece& piece, std::vector<std::int32_t>& out) const {
  if (pretokenizer == nullptr) {
    model->tokenize(piece.text, out);
    return;
  }
  pieces.clear();
  pretokenizer->apply(piece, pieces);
  for (const Piece& each : pieces.pieces()) {
    model->tokenize(each.text, out);
  }
}

std::optional<std::string_view> Tokenizer::Impl::text_of(std::int32_t id) const {
  const auto text = added.text(id);
  return text ? text : model->tokens().text(id);
}

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Tokenizer Tokenizer::from_json(std::string_view text, const std::string& where) {
  if (is_json_too_deep(text)) {
    throw Error(ErrorKind::kData, std::string("tokenizer.json: ") + kJsonTooDeep, where);
  }
  try {
    const nlohmann::json document = nlohmann::json::parse(text);
    auto impl = std::make_unique<Impl>(JsonNode(document, where));
    impl->json = text;
    return Tokenizer(std::move(impl));
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorKind::kData, std::string("tokenizer.json: ") + error.what(), where);
  }
}

Tokenizer Tokenizer::load(const std::string& path) {
  return from_json(read_tokenizer_text(path), path);
}

const std::string& Tokenizer::to_json() const {
  return impl_->json;
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text) const {
  std::vector<std::int32_t> out;
  impl_->encode(text, false, out);
  return out;
}

std::vector<std::int32_t> Tokenizer::encode_ordinary(std::string_view text) const {
  std::vector<std::int32_t> out;
  impl_->encode(text, true, out);
  return out;
}

std::vector<std::int32_t> Tokenizer::add_special(std::vector<std::int32_t> ids) const {
  std::vector<std::vector<std::int32_t>> texts;
  texts.push_back(std::move(ids));
  return impl_->post_processor.apply(texts);
}

std::vector<std::int32_t> Tokenizer::add_special(std::vector<std::int32_t> first,
                                                 std::vector<std::int32_t> second) const {
  std::vector<std::vector<std::int32_t>> texts;
  texts.push_back(std::move(first));
  texts.push_back(std::move(second));
  return impl_->post_processor.apply(texts);
}

std::vector<std::int32_t> Tokenizer::start_tokens() const {
  constexpr std::int32_t kText = -1;  // no token has this id
  std::vector<std::int32_t> ids = add_special({kText});
  ids.erase(std::find(ids.begin(), ids.end(), kText), ids.end());
  return ids;
}

std::string Tokenizer::decode(const std::vector<std::int32_t>& ids, bool skip_special) const {
  std::string out;
  Decoder::Run run(impl_->decoder, out);
  for (const std::int32_t id : ids) {
    const auto text = impl_->text_of(id);
    if (text && !(skip_special && impl_->added.is_special(*text))) {
      run.push(*text);
    }
  }
  run.finish();
  return out;
}

std::optional<std::int32_t> Tokenizer::token_id(std::string_view token) const {
  const std::int32_t added = impl_->added.find(token);
  const std::int32_t id = added >= 0 ? added : impl_->model->tokens().find(token);
  return id < 0 ? std::nullopt : std::optional(id);
}

std::optional<std::string> Tokenizer::token(std::int32_t id) const {
  const auto text = impl_->text_of(id);
  return text ? std::optional<std::string>(*text) : std::nullopt;
}

bool Tokenizer::is_special(std::int32_t id) const {
  const auto text = impl_->text_of(id);
  return text && impl_->added.is_special(*text);
}

int Tokenizer::vocab_size() const noexcept {
  return std::max(impl_->model->tokens().id_limit(), impl_->added.id_limit());
}

struct TextStream::State {
  State(const Tokenizer& of, bool skip)
      : tokenizer(&of), skip_special(skip), run(of.impl_->decoder, text) {}

  // What is complete of `text`, which then keeps the rest.
  std::string take() {
    const std::size_t whole = text.size() - incomplete_tail(text);
    std::string out = text.substr(0, whole);
    text.erase(0, whole);
    return out;
  }

  const Tokenizer* tokenizer;
  bool skip_special;
  std::string text;
  Decoder::Run run;
};

TextStream::TextStream(const Tokenizer& tokenizer, bool skip_special)
    : state_(std::make_unique<State>(tokenizer, skip_special)) {}
TextStream::TextStream(TextStream&&) noexcept = default;
TextStream& TextStream::operator=(TextStream&&) noexcept = default;
TextStream::~TextStream() = default;

std::string TextStream::push(std::int32_t id) {
  const Tokenizer::Impl& impl = *state_->tokenizer->impl_;
  const auto text = impl.text_of(id);
  if (text && !(state_->skip_special && impl.added.is_special(*text))) {
    state_->run.push(*text);
  }
  return state_->take();
}

std::string TextStream::finish() {
  state_->run.finish();
  return std::exchange(state_->text, {});
}

}  // namespace finescale
