// SPDX-License-Identifier: Apache-2.0
#include "worker/data/jinja/template.h"

#include "core/error.h"
#include "worker/data/jinja/functions.h"
#include "worker/data/jinja/parser.h"

namespace finescale::jinja {

Template::Template(std::string_view source, std::string where) : where_(std::move(where)) {
  try {
    parsed_ = std::make_unique<ParsedTemplate>(parse_template(source));
  } catch (const SyntaxFault& fault) {
    throw Error(ErrorKind::kConfig, "chat template: " + fault.message,
                where_ + ":" + std::to_string(fault.line));
  }
}

Template::~Template() = default;
Template::Template(Template&&) noexcept = default;
Template& Template::operator=(Template&&) noexcept = default;

Rendering Template::render(const std::vector<std::pair<std::string, Value>>& variables,
                           const Options& options) const {
  Context context(options.limits, options.now);
  context.wants_ranges = options.wants_ranges;
  for (const auto& [name, value] : variables) {
    context.define_global(name, value);
  }
  define_functions(context);
  try {
    (void)execute(parsed_->block, context);
  } catch (const Fault& fault) {
    throw Error(ErrorKind::kData, "chat template: " + fault.message,
                where_ + ":" + std::to_string(context.line));
  }
  Rendering out;
  out.text = context.take_text();
  out.generated = std::move(context.generated);
  return out;
}

bool Template::has_generation() const noexcept {
  return parsed_->has_generation;
}

}  // namespace finescale::jinja
