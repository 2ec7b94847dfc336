// SPDX-License-Identifier: Apache-2.0
// Parts are taken in turn: the next example comes from the part that lags most behind its ratio, so
// every beginning of the mixture has the ratios to one example (the method of largest remainders).
#include "worker/data/operators/mixture.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/random.h"
#include "worker/data/turns.h"

namespace finescale {

namespace {

// One part as it is used up: its rows in an order of its own, again and again where it may be.
class SourceStream {
 public:
  SourceStream(const std::vector<Row>& rows, std::string name, std::int64_t cap, bool repeats,
               std::uint64_t seed, double loss_weight = 1)
      : rows_(&rows),
        name_(std::move(name)),
        order_(rows.size(), seed, Purpose::kSubset),
        different_(std::min(static_cast<std::uint64_t>(cap), rows.size())),
        repeats_(repeats),
        loss_weight_(loss_weight) {}

  [[nodiscard]] bool is_used_up() const { return !repeats_ && taken_ >= different_; }
  [[nodiscard]] std::uint64_t different() const { return different_; }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] bool repeats() const { return repeats_; }
  [[nodiscard]] Row next() {
    Row row = (*rows_)[order_[taken_++ % different_]];
    row["source"] = name_;
    if (loss_weight_ != 1) {  // of a mixture of mixtures the product
      const auto own = row.find("loss_weight");
      const bool is_weighted = own != row.end() && own->is_number();
      row["loss_weight"] = loss_weight_ * (is_weighted ? own->get<double>() : 1);
    }
    return row;
  }

 private:
  const std::vector<Row>* rows_;
  std::string name_;
  Permutation order_;
  std::uint64_t different_;
  bool repeats_;
  double loss_weight_;
  std::uint64_t taken_ = 0;
};

constexpr std::uint64_t kReplayStream = 1000003;  // no part has this number

std::uint64_t seed_of(std::uint64_t seed, std::uint64_t part) {
  return Random(seed, Purpose::kSubset, part).next_u64();
}

std::vector<Row> of_parts(const config::Mixture& mixture, std::vector<SourceStream>& streams,
                          const std::string& where) {
  std::vector<double> ratios;
  for (const config::MixPart& part : mixture.parts()) {
    ratios.push_back(part.ratio());
  }
  Turns turns(ratios);
  std::vector<Row> rows;
  const auto wanted = static_cast<std::size_t>(mixture.examples());
  while (!mixture.has_examples() || rows.size() < wanted) {
    SourceStream& stream = streams[turns.next()];
    if (stream.is_used_up()) {
      if (!mixture.has_examples()) {
        break;
      }
      throw Error(ErrorKind::kConfig,
                  "mix.examples is " + std::to_string(wanted) + ", but " + stream.name() +
                      " has only " + std::to_string(stream.different()) + " examples for its ratio",
                  where, "ask for fewer, or give it repeat: true");
    }
    rows.push_back(stream.next());
  }
  return rows;
}

// `fraction` of the whole, evenly between the others.
std::vector<Row> with_replay(std::vector<Row> rows, SourceStream replay, double fraction) {
  Turns turns({1 - fraction, fraction});
  std::vector<Row> all;
  for (std::size_t taken = 0; taken < rows.size();) {
    if (turns.next() == 0) {
      all.push_back(std::move(rows[taken++]));
    } else {
      all.push_back(replay.next());
    }
  }
  return all;
}

// All of each, numbered from 1: who trains takes turns.
std::vector<Row> side_by_side(std::vector<SourceStream>& streams) {
  std::vector<Row> rows;
  for (std::size_t i = 0; i < streams.size(); ++i) {
    while (!streams[i].is_used_up()) {
      rows.push_back(streams[i].next());
      rows.back()["stream"] = static_cast<std::uint32_t>(i + 1);
    }
  }
  return rows;
}

}  // namespace

std::vector<double> stream_ratios(const config::Mixture& mixture) {
  std::vector<double> ratios;
  double sum = 0;
  for (const config::MixPart& part : mixture.parts()) {
    ratios.push_back(part.ratio());
    sum += part.ratio();
  }
  if (mixture.has_replay()) {
    const double fraction = mixture.replay().fraction();
    ratios.push_back(sum * fraction / (1 - fraction));
  }
  return ratios;
}

std::vector<Row> mixed(const config::Mixture& mixture, const std::vector<std::vector<Row>>& parts,
                       std::uint64_t seed, const std::string& where) {
  std::vector<SourceStream> streams;
  const bool is_separate = mixture.streams() == config::STREAMS_SEPARATE;
  bool ends = mixture.has_examples();
  for (int i = 0; i < mixture.parts_size(); ++i) {
    const config::MixPart& part = mixture.parts(i);
    const auto number = static_cast<std::size_t>(i);
    streams.emplace_back(parts[number], part.data(), part.has_cap() ? part.cap() : INT64_MAX,
                         part.repeat() && !is_separate, seed_of(seed, number + 1),
                         part.loss_weight());
    ends = ends || !part.repeat();
  }
  if (is_separate) {
    if (mixture.has_replay()) {
      streams.emplace_back(parts.back(), mixture.replay().data(), INT64_MAX, false,
                           seed_of(seed, kReplayStream));
    }
    return side_by_side(streams);
  }
  FS_CHECK(ends, "a mixture without an end: rules were not checked");
  std::vector<Row> rows = of_parts(mixture, streams, where);
  if (!mixture.has_replay()) {
    return rows;
  }
  return with_replay(std::move(rows),
                     SourceStream(parts.back(), mixture.replay().data(), INT64_MAX, true,
                                  seed_of(seed, kReplayStream)),
                     mixture.replay().fraction());
}

}  // namespace finescale
