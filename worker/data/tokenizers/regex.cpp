// SPDX-License-Identifier: Apache-2.0
#include "worker/data/tokenizers/regex.h"

#include <algorithm>

#include "core/error.h"
#include "core/unique_handle.h"
#include "worker/data/pcre.h"
#include "worker/data/tokenizers/onig_syntax.h"
#include "worker/data/tokenizers/unicode.h"

namespace finescale {

namespace {

struct ContextTraits {
  using Handle = pcre2_match_context*;
  static Handle invalid() noexcept { return nullptr; }
  static void destroy(Handle handle) noexcept { pcre2_match_context_free(handle); }
};
struct StackTraits {
  using Handle = pcre2_jit_stack*;
  static Handle invalid() noexcept { return nullptr; }
  static void destroy(Handle handle) noexcept { pcre2_jit_stack_free(handle); }
};

constexpr std::size_t kMaxPattern = 1 << 16;  // published ones have a few hundred bytes

}  // namespace

struct Regex::Program {
  PcreCode code;
  PcreMatch match;
  UniqueHandle<StackTraits> stack;
  UniqueHandle<ContextTraits> context;
};

Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;

Regex::Regex(const JsonNode& node) {
  if (!node.is_object() || node.value().size() != 1) {
    node.fail("must hold either \"String\" or \"Regex\"");
  }
  if (const auto text = node.find("String")) {
    source_ = text->text();
    if (source_.empty()) {  // matches everywhere, like the empty expression
      compile(*text);
    }
    return;
  }
  const JsonNode expression = node.at("Regex");
  source_ = expression.text();
  compile(expression);
}

Regex::Regex(std::string_view onig, const JsonNode& place) : source_(onig) {
  compile(place);
}

void Regex::compile(const JsonNode& place) {
  if (source_.size() > kMaxPattern) {
    place.unsupported("a regular expression of " + std::to_string(source_.size()) + " bytes");
  }
  const std::string pattern =
      pcre_from_onig(source_, [&](const std::string& what) { place.unsupported(what); });
  int code = 0;
  PCRE2_SIZE offset = 0;
  auto made = std::make_unique<Program>();
  made->code.reset(pcre2_compile(pcre_units(pattern), pattern.size(),
                                 PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_MATCH_INVALID_UTF,
                                 &code, &offset, nullptr));
  if (!made->code) {
    place.fail("is not a regular expression that works here: " + pcre_message(code) +
               " at offset " + std::to_string(offset) + " of " + pattern);
  }
  pcre2_jit_compile(made->code.get(), PCRE2_JIT_COMPLETE);  // without a JIT the interpreter does it
  made->match.reset(pcre2_match_data_create_from_pattern(made->code.get(), nullptr));
  made->context.reset(pcre2_match_context_create(nullptr));
  // Groups under a repeat use stack for each repetition: the default 32 KiB end early.
  made->stack.reset(pcre2_jit_stack_create(32 << 10, 64 << 20, nullptr));
  pcre2_jit_stack_assign(made->context.get(), nullptr, made->stack.get());
  program_ = std::move(made);
}

void Regex::find_all(std::string_view text, std::vector<Span>& out) const {
  out.clear();
  if (program_ == nullptr) {
    for (std::size_t at = text.find(source_); at != std::string_view::npos;
         at = text.find(source_, at + source_.size())) {
      out.push_back({at, at + source_.size()});
    }
    return;
  }
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const int count = pcre2_match(program_->code.get(), pcre_units(text), text.size(), begin, 0,
                                  program_->match.get(), program_->context.get());
    if (count == PCRE2_ERROR_NOMATCH) {
      return;
    }
    if (count < 0) {
      throw Error(ErrorKind::kData, "tokenizer.json: the regular expression " + source_ +
                                        " fails on this text: " + pcre_message(count));
    }
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(program_->match.get());
    const Span span{bounds[0], std::max(bounds[0], bounds[1])};
    if (span.begin == span.end && !out.empty() && out.back().end == span.end) {
      begin = std::max(begin, span.end) +
              static_cast<std::size_t>(std::max(1, decode_utf8(text, span.end).length));
      continue;
    }
    out.push_back(span);
    begin = span.end;
  }
}

}  // namespace finescale
