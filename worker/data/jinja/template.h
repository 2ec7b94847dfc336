// SPDX-License-Identifier: Apache-2.0
// A template of the Jinja language, as far as chat templates use it: parsed once, rendered often,
// from any thread. Set up as transformers does: trim_blocks, lstrip_blocks, loop controls,
// {% generation %}; values do not change except in a namespace. docs/chat-templates.md lists what
// there is.
#pragma once

#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "worker/data/jinja/context.h"

namespace finescale::jinja {

struct ParsedTemplate;

struct Rendering {
  std::string text;
  std::vector<TextRange> generated;  // what generation blocks wrote, in order
};

class Template {
 public:
  // Throws kConfig with where:line.
  Template(std::string_view source, std::string where);
  ~Template();
  Template(Template&&) noexcept;
  Template& operator=(Template&&) noexcept;
  Template(const Template&) = delete;
  Template& operator=(const Template&) = delete;

  struct Options {
    std::optional<std::time_t> now;  // what strftime_now reads; none: the clock
    bool wants_ranges = false;       // `generated` is used: a block at an unknown place is refused
    Limits limits;
  };
  // Throws kData with where:line: what the template refuses, uses wrongly or takes too much of.
  [[nodiscard]] Rendering render(const std::vector<std::pair<std::string, Value>>& variables,
                                 const Options& options) const;
  [[nodiscard]] bool has_generation() const noexcept;

 private:
  std::unique_ptr<ParsedTemplate> parsed_;
  std::string where_;
};

}  // namespace finescale::jinja
