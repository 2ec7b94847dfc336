// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <utility>

#include "core/error.h"
#include "worker/data/operators/operator.h"

namespace finescale {

std::unique_ptr<Operator> make_operator(const config::Operator& config) {
  switch (config.kind_case()) {
    case config::Operator::kFilter:
      return make_filter(config.filter());
    case config::Operator::kSample:
      return make_sample(config.sample());
    case config::Operator::kDedupe:
      return make_dedupe(config.dedupe());
    case config::Operator::kCorrupt:
      return make_corrupt(config.corrupt());
    case config::Operator::kRelabel:
      return make_relabel(config.relabel());
    case config::Operator::kTemplate:
      return make_template(config.template_());
    case config::Operator::kKShot:
      return make_k_shot(config.k_shot());
    case config::Operator::kRank:
      return make_rank(config.rank());
    case config::Operator::kTop:
      return make_top(config.top());
    case config::Operator::kJoin:
      return make_join(config.join());
    case config::Operator::KIND_NOT_SET:
      break;
  }
  throw Error(ErrorKind::kInternal, "an operator without a kind: rules were not checked");
}

std::string operator_name(const config::Operator& config) {
  const auto* kind = config.GetReflection()->GetOneofFieldDescriptor(
      config, config.GetDescriptor()->oneof_decl(0));
  return kind == nullptr ? "" : kind->name();
}

void keep_rows(std::vector<Row>& rows, const std::vector<std::size_t>& places) {
  std::vector<Row> kept;
  kept.reserve(places.size());
  for (const std::size_t place : places) {
    kept.push_back(rows[place]);
  }
  rows = std::move(kept);
}

std::size_t wanted_rows(bool has_examples, std::int64_t examples, double fraction, std::size_t size,
                        const OperatorContext& context) {
  if (!has_examples) {
    return static_cast<std::size_t>(std::llround(fraction * static_cast<double>(size)));
  }
  if (static_cast<std::size_t>(examples) > size) {
    throw Error(
        ErrorKind::kConfig,
        "examples is " + std::to_string(examples) + ", but there are only " + std::to_string(size),
        context.where, "ask for fewer, or for a fraction");
  }
  return static_cast<std::size_t>(examples);
}

}  // namespace finescale
