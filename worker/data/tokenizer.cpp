// SPDX-License-Identifier: Apache-2.0
#include "worker/data/tokenizer.h"

#include <algorithm>
#include <array>
#include <unordered_map>

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "worker/data/bpe.h"
#include "worker/data/pretokenize.h"
#include "worker/data/tokenizer_file.h"

namespace finescale {

using Json = nlohmann::ordered_json;

namespace {

// The printable stand-in of each byte (GPT-2's table): bytes 33-126, 161-172, 174-255 keep their
// code point, the other 68 follow from U+0100 in order.
const std::array<std::string, 256>& byte_characters() {
  static const std::array<std::string, 256> table = [] {
    std::array<std::string, 256> made;
    int next = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
      const bool keeps = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
      const int code = keeps ? byte : next++;
      std::string& text = made[static_cast<std::size_t>(byte)];
      if (code < 0x80) {
        text = static_cast<char>(code);
      } else {
        text = {static_cast<char>(0xC0 | (code >> 6)), static_cast<char>(0x80 | (code & 0x3F))};
      }
    }
    return made;
  }();
  return table;
}

std::string to_characters(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    out += byte_characters()[static_cast<unsigned char>(c)];
  }
  return out;
}

}  // namespace

struct AddedToken {
  std::string content;
  std::int32_t id = 0;
  bool special = true;
};

struct Tokenizer::Impl {
  std::vector<std::string> bytes_of;  // id -> raw bytes (content for added tokens)
  std::vector<bool> is_special;
  std::array<std::int32_t, 256> byte_id{};              // byte -> id
  std::unordered_map<std::string, std::int32_t> id_of;  // characters (or content) -> id
  std::vector<AddedToken> added;
  std::vector<std::pair<std::string, bool>> pre_steps;  // pattern, written as ByteLevel's own
  PreTokenizer pre;
  std::unique_ptr<BpeModel> model;  // over ids
  mutable std::unordered_map<std::string, std::vector<std::int32_t>> cache;
  mutable std::vector<std::string_view> pieces;
  Json pre_tokenizer;  // as read or made

  void encode_plain(std::string_view text, std::vector<std::int32_t>& out) const;
  void add_id(std::int32_t id, std::string bytes, bool special);
};

void Tokenizer::Impl::add_id(std::int32_t id, std::string bytes, bool special) {
  if (static_cast<std::size_t>(id) >= bytes_of.size()) {
    bytes_of.resize(static_cast<std::size_t>(id) + 1);
    is_special.resize(static_cast<std::size_t>(id) + 1, false);
  }
  bytes_of[static_cast<std::size_t>(id)] = std::move(bytes);
  is_special[static_cast<std::size_t>(id)] = special;
}

void Tokenizer::Impl::encode_plain(std::string_view text, std::vector<std::int32_t>& out) const {
  constexpr std::size_t kCachedBytes = 64;  // longer pieces are rare and would fill the cache
  pre.split(text, pieces);
  for (const std::string_view piece : pieces) {
    if (piece.size() <= kCachedBytes) {
      if (const auto found = cache.find(std::string(piece)); found != cache.end()) {
        out.insert(out.end(), found->second.begin(), found->second.end());
        continue;
      }
    }
    std::vector<std::int32_t> symbols;
    symbols.reserve(piece.size());
    for (const char c : piece) {
      symbols.push_back(byte_id[static_cast<unsigned char>(c)]);
    }
    model->apply(symbols);
    out.insert(out.end(), symbols.begin(), symbols.end());
    if (piece.size() <= kCachedBytes && cache.size() < 1000000) {
      cache.emplace(piece, std::move(symbols));
    }
  }
}

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Tokenizer Tokenizer::train(const std::vector<std::string>& texts, int vocab_size,
                           const std::vector<std::string>& special_tokens) {
  auto impl = std::make_unique<Impl>();
  impl->pre.add_pattern(kGpt2Pattern);
  impl->pre_tokenizer = {{"type", "ByteLevel"},
                         {"add_prefix_space", false},
                         {"trim_offsets", true},
                         {"use_regex", true}};
  std::unordered_map<std::string, std::int64_t> counts;
  std::vector<std::string_view> pieces;
  for (const std::string& text : texts) {
    impl->pre.split(text, pieces);
    for (const std::string_view piece : pieces) {
      ++counts[std::string(piece)];
    }
  }
  std::int32_t next = 0;
  for (const std::string& token : special_tokens) {
    impl->added.push_back({token, next, true});
    impl->id_of.emplace(token, next);
    impl->add_id(next++, token, true);
  }
  const std::int32_t first_byte = next;
  for (int byte = 0; byte < 256; ++byte) {
    impl->byte_id[static_cast<std::size_t>(byte)] = next;
    impl->id_of.emplace(byte_characters()[static_cast<std::size_t>(byte)], next);
    impl->add_id(next++, std::string(1, static_cast<char>(byte)), false);
  }
  std::vector<BpeMerge> merges = train_bpe(counts, vocab_size - next, next);
  for (BpeMerge& merge : merges) {  // bytes 0..255 of the trainer are ids first_byte..
    merge.left += merge.left < 256 ? first_byte : 0;
    merge.right += merge.right < 256 ? first_byte : 0;
    std::string bytes = impl->bytes_of[static_cast<std::size_t>(merge.left)] +
                        impl->bytes_of[static_cast<std::size_t>(merge.right)];
    impl->id_of.emplace(to_characters(bytes), merge.result);
    impl->add_id(merge.result, std::move(bytes), false);
  }
  impl->model = std::make_unique<BpeModel>(std::move(merges));
  return Tokenizer(std::move(impl));
}

std::vector<std::int32_t> Tokenizer::encode_ordinary(std::string_view text) const {
  std::vector<std::int32_t> out;
  impl_->encode_plain(text, out);
  return out;
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text) const {
  std::vector<std::int32_t> out;
  std::size_t begin = 0;
  while (begin < text.size()) {
    std::size_t at = std::string_view::npos;
    const AddedToken* next = nullptr;
    for (const AddedToken& token : impl_->added) {  // leftmost, then longest
      const std::size_t found = text.find(token.content, begin);
      if (found != std::string_view::npos &&
          (found < at || (found == at && token.content.size() > next->content.size()))) {
        at = found;
        next = &token;
      }
    }
    impl_->encode_plain(text.substr(begin, next == nullptr ? text.size() - begin : at - begin),
                        out);
    if (next == nullptr) {
      break;
    }
    out.push_back(next->id);
    begin = at + next->content.size();
  }
  return out;
}

std::string Tokenizer::decode(const std::vector<std::int32_t>& ids, bool skip_special) const {
  std::string out;
  for (const std::int32_t id : ids) {
    if (id >= 0 && static_cast<std::size_t>(id) < impl_->bytes_of.size() &&
        !(skip_special && impl_->is_special[static_cast<std::size_t>(id)])) {
      out += impl_->bytes_of[static_cast<std::size_t>(id)];
    }
  }
  return out;
}

std::optional<std::int32_t> Tokenizer::token_id(std::string_view token) const {
  const auto found = impl_->id_of.find(std::string(token));
  return found == impl_->id_of.end() ? std::nullopt : std::optional(found->second);
}

int Tokenizer::vocab_size() const noexcept {
  return static_cast<int>(impl_->bytes_of.size());
}

std::string Tokenizer::to_json() const {
  Json vocab = Json::object();
  std::vector<std::pair<std::int32_t, std::string>> sorted;
  for (const auto& [token, id] : impl_->id_of) {
    sorted.emplace_back(id, token);
  }
  std::sort(sorted.begin(), sorted.end());
  for (const auto& [id, token] : sorted) {
    vocab[token] = id;
  }
  Json merges = Json::array();
  for (const BpeMerge& merge : impl_->model->merges()) {
    merges.push_back({to_characters(impl_->bytes_of[static_cast<std::size_t>(merge.left)]),
                      to_characters(impl_->bytes_of[static_cast<std::size_t>(merge.right)])});
  }
  Json added = Json::array();
  for (const AddedToken& token : impl_->added) {
    added.push_back({{"id", token.id},
                     {"content", token.content},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", token.special}});
  }
  const Json document = {{"version", "1.0"},
                         {"truncation", nullptr},
                         {"padding", nullptr},
                         {"added_tokens", added},
                         {"normalizer", nullptr},
                         {"pre_tokenizer", impl_->pre_tokenizer},
                         {"post_processor", nullptr},
                         {"decoder",
                          {{"type", "ByteLevel"},
                           {"add_prefix_space", true},
                           {"trim_offsets", true},
                           {"use_regex", true}}},
                         {"model",
                          {{"type", "BPE"},
                           {"dropout", nullptr},
                           {"unk_token", nullptr},
                           {"continuing_subword_prefix", nullptr},
                           {"end_of_word_suffix", nullptr},
                           {"fuse_unk", false},
                           {"byte_fallback", false},
                           {"ignore_merges", false},
                           {"vocab", vocab},
                           {"merges", merges}}}};
  return document.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

namespace {

[[noreturn]] void unsupported(const std::string& what, const std::string& where) {
  throw Error(ErrorKind::kData, "tokenizer: " + what + " is not supported", where,
              "byte-level BPE tokenizers (GPT-2, Llama-3, Qwen2 style) are");
}

void read_pre_tokenizer(const Json& node, const std::string& where, PreTokenizer& pre) {
  const std::string type = node.value("type", "");
  if (type == "Sequence") {
    for (const Json& child : node.at("pretokenizers")) {
      read_pre_tokenizer(child, where, pre);
    }
  } else if (type == "ByteLevel") {
    if (node.value("add_prefix_space", false)) {
      unsupported("ByteLevel with add_prefix_space", where);
    }
    if (node.value("use_regex", true)) {
      pre.add_pattern(kGpt2Pattern);
    }
  } else if (type == "Digits") {
    pre.add_pattern(node.value("individual_digits", false) ? R"(\p{N})" : R"(\p{N}+)");
  } else if (type == "Split") {
    const std::string behavior = node.value("behavior", "");
    const Json& pattern = node.at("pattern");
    if (!(behavior == "Isolated" || (behavior == "Removed" && node.value("invert", false))) ||
        !pattern.contains("Regex")) {
      unsupported("pre-tokenizer Split with behavior " + behavior, where);
    }
    pre.add_pattern(pattern.at("Regex").get<std::string>());
  } else {
    unsupported("pre-tokenizer " + type, where);
  }
}

// Characters of the byte table back to bytes; empty when a character stands for none.
std::string to_bytes(const std::string& characters,
                     const std::unordered_map<std::string, int>& byte_of) {
  std::string out;
  for (std::size_t i = 0; i < characters.size();) {
    const std::size_t length = (static_cast<unsigned char>(characters[i]) & 0x80) == 0 ? 1 : 2;
    const auto found = byte_of.find(characters.substr(i, length));
    if (found == byte_of.end()) {
      return {};
    }
    out += static_cast<char>(found->second);
    i += length;
  }
  return out;
}

}  // namespace

Tokenizer Tokenizer::from_json(std::string_view text, const std::string& where) {
  try {
    const Json document = Json::parse(text);
    auto impl = std::make_unique<Impl>();
    const Json& model = document.at("model");
    if (model.value("type", "BPE") != "BPE" || model.value("byte_fallback", false)) {
      unsupported("model " + model.value("type", "?") +
                      (model.value("byte_fallback", false) ? " with byte_fallback" : ""),
                  where);
    }
    if (const auto found = document.find("normalizer");
        found != document.end() && !found->is_null()) {
      unsupported("normalizer " + found->value("type", "?"), where);
    }
    impl->pre_tokenizer = document.value("pre_tokenizer", Json());
    if (!impl->pre_tokenizer.is_null()) {
      read_pre_tokenizer(impl->pre_tokenizer, where, impl->pre);
    }
    std::unordered_map<std::string, int> byte_of;
    for (int byte = 0; byte < 256; ++byte) {
      byte_of.emplace(byte_characters()[static_cast<std::size_t>(byte)], byte);
    }
    for (const auto& [token, id] : model.at("vocab").items()) {
      impl->id_of.emplace(token, id.get<std::int32_t>());
      impl->add_id(id.get<std::int32_t>(), to_bytes(token, byte_of), false);
    }
    for (int byte = 0; byte < 256; ++byte) {
      const auto found = impl->id_of.find(byte_characters()[static_cast<std::size_t>(byte)]);
      if (found == impl->id_of.end()) {
        unsupported("a vocabulary without all 256 bytes", where);
      }
      impl->byte_id[static_cast<std::size_t>(byte)] = found->second;
    }
    for (const Json& token : document.value("added_tokens", Json::array())) {
      const AddedToken added{token.at("content"), token.at("id"), token.value("special", false)};
      impl->id_of[added.content] = added.id;
      impl->add_id(added.id, added.content, added.special);
      impl->added.push_back(added);
    }
    std::vector<BpeMerge> merges;
    for (const Json& merge : model.at("merges")) {
      std::string left;
      std::string right;
      if (merge.is_array()) {
        left = merge.at(0);
        right = merge.at(1);
      } else {
        const auto both = merge.get<std::string>();
        const std::size_t space = both.find(' ');
        left = both.substr(0, space);
        right = both.substr(space + 1);
      }
      merges.push_back({impl->id_of.at(left), impl->id_of.at(right), impl->id_of.at(left + right)});
    }
    impl->model = std::make_unique<BpeModel>(std::move(merges));
    return Tokenizer(std::move(impl));
  } catch (const Json::exception& error) {
    throw Error(ErrorKind::kData, std::string("tokenizer.json: ") + error.what(), where);
  } catch (const std::out_of_range&) {
    throw Error(ErrorKind::kData,
                "tokenizer.json: a merge names a token that is not in the vocabulary", where);
  }
}

Tokenizer Tokenizer::load(const std::string& path) {
  return from_json(read_tokenizer_text(path), path);
}

}  // namespace finescale
