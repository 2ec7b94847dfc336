// SPDX-License-Identifier: Apache-2.0
#include "worker/data/recipe.h"

#include <memory>
#include <utility>

#include "core/error.h"
#include "core/random.h"
#include "worker/data/operators/mixture.h"
#include "worker/data/operators/operator.h"
#include "worker/data/reader.h"

namespace finescale {

namespace {

class Recipe {
 public:
  Recipe(const config::DatasetRef& ref, config::OnBadExample on_bad) : ref_(ref), on_bad_(on_bad) {}

  RecipeRows run() {
    out_.rows = source();
    const std::unique_ptr<Task> task = ref_.has_task() ? make_task(ref_.task()) : nullptr;
    for (int i = 0; i < ref_.apply_size(); ++i) {
      apply(ref_.apply(i), i, task.get());
    }
    return std::move(out_);
  }

 private:
  std::vector<Row> rows_of(const config::DatasetRef& ref) {
    RecipeRows part = is_recipe(ref) ? make_rows(ref, on_bad_) : read_rows(ref, on_bad_);
    out_.story += (out_.story.empty() ? "" : " and ") + part.story;
    out_.first_bad = out_.skipped > 0 ? out_.first_bad : part.first_bad;
    out_.skipped += part.skipped;
    return std::move(part.rows);
  }

  const config::DatasetRef& next_input() {
    FS_CHECK(used_ < ref_.inputs_size(), "a dataset names more inputs than it has");
    return ref_.inputs(used_++);
  }

  std::vector<Row> source() {
    if (!ref_.has_mix()) {
      return rows_of(next_input());
    }
    std::vector<std::vector<Row>> parts;
    const int count = ref_.mix().parts_size() + (ref_.mix().has_replay() ? 1 : 0);
    for (int i = 0; i < count; ++i) {
      parts.push_back(rows_of(next_input()));
      if (parts.back().empty()) {
        throw Error(ErrorKind::kData, "a part of the mixture is empty", ref_.label() + ".mix");
      }
    }
    std::vector<Row> rows = mixed(ref_.mix(), parts, seed_of(0), ref_.label() + ".mix");
    out_.story += ", mix " + std::to_string(rows.size());
    return rows;
  }

  // Operators draw apart from each other.
  [[nodiscard]] std::uint64_t seed_of(std::uint64_t place) const {
    return Random(static_cast<std::uint64_t>(ref_.draw_seed()), Purpose::kSubset, place).next_u64();
  }

  void apply(const config::Operator& config, int place, const Task* task) {
    OperatorContext context;
    context.seed = seed_of(static_cast<std::uint64_t>(place) + 1);
    context.task = task;
    context.where = ref_.label() + ".apply[" + std::to_string(place) + "]." + operator_name(config);
    std::vector<Row> other;
    if (config.join().has_data() || config.k_shot().has_data()) {
      const std::string story = out_.story;  // it is another's
      other = rows_of(next_input());
      out_.story = story;
      context.other = &other;
    }
    if (out_.rows.empty()) {
      throw Error(ErrorKind::kData, "no example is left", context.where);
    }
    make_operator(config)->apply(out_.rows, context);
    out_.story += ", " + operator_name(config) + " " + std::to_string(out_.rows.size());
  }

  const config::DatasetRef& ref_;
  config::OnBadExample on_bad_;
  RecipeRows out_;
  int used_ = 0;  // of the inputs
};

}  // namespace

bool is_recipe(const config::DatasetRef& ref) {
  return ref.inputs_size() > 0;
}

RecipeRows make_rows(const config::DatasetRef& ref, config::OnBadExample on_bad) {
  return Recipe(ref, on_bad).run();
}

}  // namespace finescale
