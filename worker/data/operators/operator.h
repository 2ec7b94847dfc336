// SPDX-License-Identifier: Apache-2.0
// Changes of a dataset's rows. Pure: rows, settings and seed decide, on every rank alike.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "configs/schema/operators.pb.h"
#include "worker/data/operators/row.h"
#include "worker/data/tasks/task.h"

namespace finescale {

struct OperatorContext {
  std::uint64_t seed = 1;  // of this operator alone
  const std::vector<Row>* other =
      nullptr;                 // rows of the dataset that it names; null: it names none
  const Task* task = nullptr;  // that the rows were drawn from; null: none, or several
  std::string where;           // of the operator, for messages
};

class Operator {
 public:
  Operator() = default;
  Operator(const Operator&) = delete;
  Operator& operator=(const Operator&) = delete;
  virtual ~Operator() = default;
  // Throws kData or kConfig at `where` when the rows are not what it needs.
  virtual void apply(std::vector<Row>& rows, const OperatorContext& context) const = 0;
};

[[nodiscard]] std::unique_ptr<Operator> make_operator(const config::Operator& config);
[[nodiscard]] std::string operator_name(const config::Operator& config);  // filter

// Kinds; make_operator() is the only caller.
[[nodiscard]] std::unique_ptr<Operator> make_filter(const config::Filter& config);
[[nodiscard]] std::unique_ptr<Operator> make_sample(const config::Sample& config);
[[nodiscard]] std::unique_ptr<Operator> make_dedupe(const config::Dedupe& config);
[[nodiscard]] std::unique_ptr<Operator> make_corrupt(const config::Corrupt& config);
[[nodiscard]] std::unique_ptr<Operator> make_relabel(const config::Relabel& config);
[[nodiscard]] std::unique_ptr<Operator> make_template(const config::Template& config);
[[nodiscard]] std::unique_ptr<Operator> make_k_shot(const config::KShot& config);
[[nodiscard]] std::unique_ptr<Operator> make_rank(const config::Rank& config);
[[nodiscard]] std::unique_ptr<Operator> make_top(const config::Top& config);
[[nodiscard]] std::unique_ptr<Operator> make_join(const config::Join& config);

// For kinds: the rows at these places, in their order.
void keep_rows(std::vector<Row>& rows, const std::vector<std::size_t>& places);
// How many of `size`: examples, or round(fraction * size). Throws kConfig when examples is more.
[[nodiscard]] std::size_t wanted_rows(bool has_examples, std::int64_t examples, double fraction,
                                      std::size_t size, const OperatorContext& context);

}  // namespace finescale
