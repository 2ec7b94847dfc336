// SPDX-License-Identifier: Apache-2.0
// Solved examples in front of every prompt. An example is never its own shot, nor is one with its
// prompt: the answer would stand there.
#include <algorithm>
#include <optional>
#include <utility>

#include "core/error.h"
#include "core/random.h"
#include "worker/data/operators/bm25.h"
#include "worker/data/operators/operator.h"

namespace finescale {

namespace {

class KShotOperator final : public Operator {
 public:
  explicit KShotOperator(const config::KShot& config)
      : config_(config),
        count_(static_cast<std::size_t>(config.examples())),
        shot_(config.shot()) {}

  void apply(std::vector<Row>& rows, const OperatorContext& context) const override {
    const std::vector<Row>& pool = context.other != nullptr ? *context.other : rows;
    std::vector<std::string> prompts;  // of the pool
    std::vector<std::string> shots;
    for (const Row& row : pool) {
      prompts.push_back(text_of(row, "prompt", context.where));
      shots.push_back(shot_.filled(row, context.where));
    }
    std::optional<Bm25> index;
    if (config_.choose() == config::SHOT_CHOICE_BM25) {
      index.emplace(prompts);
    }
    std::vector<std::string> written;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::string prompt = text_of(rows[i], "prompt", context.where);
      const auto is_fit = [&](std::size_t place) { return prompts[place] != prompt; };
      const std::vector<std::size_t> chosen =
          index ? likest(index->scores(prompt), is_fit)
                : drawn(pool.size(), context.seed, is_fit,
                        config_.choose() == config::SHOT_CHOICE_RANDOM ? i + 1 : 0);
      if (chosen.size() < count_) {
        throw Error(ErrorKind::kConfig,
                    "examples is " + std::to_string(count_) + ", but there are only " +
                        std::to_string(chosen.size()) + " with another prompt",
                    context.where, "ask for fewer, or name a larger dataset");
      }
      std::string text;
      for (const std::size_t place : chosen) {
        text += shots[place] + config_.separator();
      }
      written.push_back(text + prompt);
    }
    for (std::size_t i = 0; i < rows.size(); ++i) {
      set_prompt(rows[i], std::move(written[i]));
    }
  }

 private:
  // The first that fit of an order that the stream decides.
  template <class IsFit>
  [[nodiscard]] std::vector<std::size_t> drawn(std::size_t size, std::uint64_t seed,
                                               const IsFit& is_fit, std::uint64_t stream) const {
    const std::uint64_t own = Random(seed, Purpose::kSubset, stream).next_u64();
    const Permutation order(size, own, Purpose::kSubset);
    std::vector<std::size_t> chosen;
    for (std::size_t i = 0; i < size && chosen.size() < count_; ++i) {
      if (is_fit(order[i])) {
        chosen.push_back(order[i]);
      }
    }
    return chosen;
  }

  // The likest last: next to the question. Equal ones by their place.
  template <class IsFit>
  [[nodiscard]] std::vector<std::size_t> likest(const std::vector<double>& scores,
                                                const IsFit& is_fit) const {
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < scores.size(); ++i) {
      if (is_fit(i)) {
        places.push_back(i);
      }
    }
    const std::size_t kept = std::min(count_, places.size());
    std::partial_sort(places.begin(), places.begin() + static_cast<std::ptrdiff_t>(kept),
                      places.end(), [&](std::size_t a, std::size_t b) {
                        return scores[a] != scores[b] ? scores[a] > scores[b] : a < b;
                      });
    places.resize(kept);
    std::reverse(places.begin(), places.end());
    return places;
  }

  config::KShot config_;
  std::size_t count_;
  RowText shot_;
};

}  // namespace

std::unique_ptr<Operator> make_k_shot(const config::KShot& config) {
  return std::make_unique<KShotOperator>(config);
}

}  // namespace finescale
