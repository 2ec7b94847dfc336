// SPDX-License-Identifier: Apache-2.0
#include "configs/overlap.h"

#include <fstream>
#include <string_view>
#include <unordered_set>

#include <nlohmann/json.hpp>

#include "configs/data_format.h"
#include "core/error.h"
#include "core/json_depth.h"

namespace finescale {

namespace {

std::string_view trimmed(std::string_view line) {
  constexpr std::string_view kBlank = " \t\r\n";
  const std::size_t begin = line.find_first_not_of(kBlank);
  return begin == std::string_view::npos
             ? std::string_view()
             : line.substr(begin, line.find_last_not_of(kBlank) - begin + 1);
}

// Calls visit(text, number) for each line that is not blank, until `left` were seen.
template <class Visit>
void each_line(const std::string& path, std::int64_t& left, Visit&& visit) {
  std::ifstream in(path);
  if (!in) {
    throw Error(ErrorKind::kConfig, "cannot be read", path);
  }
  std::string line;
  for (std::int64_t number = 1; left > 0 && std::getline(in, line); ++number) {
    if (const std::string_view text = trimmed(line); !text.empty()) {
      --left;
      visit(text, number);
    }
  }
}

// The same for the JSONL files of a data set (of others a line is no example), up to its limit:
// visit(text, "file:line").
template <class Set, class Visit>
void each_line_of(const Set& set, Visit&& visit) {
  std::int64_t left = set.has_limit() ? set.limit() : INT64_MAX;
  for (const std::string& path : set.path()) {
    if (data_format(path, set.format()) != config::DATA_FORMAT_JSONL) {
      continue;
    }
    each_line(path, left, [&](std::string_view text, std::int64_t number) {
      visit(text, path + ":" + std::to_string(number));
    });
  }
}

}  // namespace

bool is_readable(const std::string& path) {
  return std::ifstream(path).good();
}

std::int64_t count_examples(const std::string& path) {
  std::int64_t count = 0;
  std::int64_t left = INT64_MAX;
  each_line(path, left, [&](std::string_view, std::int64_t) { ++count; });
  return count;
}

std::optional<bool> begins_with_pair(const std::string& path) {
  std::optional<bool> is_pair;
  std::int64_t left = 1;
  each_line(path, left, [&](std::string_view text, std::int64_t) {
    const nlohmann::json line =
        is_json_too_deep(text) ? nlohmann::json() : nlohmann::json::parse(text, nullptr, false);
    if (line.contains("chosen") && line.contains("rejected")) {
      is_pair = true;
    } else if (line.contains("response") || line.contains("text") || line.contains("messages")) {
      is_pair = false;
    }
  });
  return is_pair;
}

std::vector<Overlap> find_overlap(const config::Data& data) {
  // The evaluation sets are the small side: they are kept, the pool streams by.
  std::unordered_set<std::string> lines;
  for (const config::EvalSet& set : data.eval()) {
    each_line_of(set, [&](std::string_view text, const std::string&) { lines.emplace(text); });
  }
  std::unordered_set<std::string> in_pool;
  if (!lines.empty()) {
    each_line_of(data.train(), [&](std::string_view text, const std::string&) {
      if (std::string line(text); lines.contains(line)) {
        in_pool.insert(std::move(line));
      }
    });
  }
  std::vector<Overlap> overlaps;
  for (const config::EvalSet& set : data.eval()) {
    if (set.path_size() == 0) {
      continue;
    }
    Overlap& overlap = overlaps.emplace_back(Overlap{set.name(), 0, ""});
    each_line_of(set, [&](std::string_view text, const std::string& where) {
      if (in_pool.contains(std::string(text)) && overlap.lines++ == 0) {
        overlap.first = where;
      }
    });
  }
  return overlaps;
}

std::string describe(const Overlap& overlap) {
  return std::to_string(overlap.lines) + " examples of eval set " + overlap.set +
         " are in data.train too, the first at " + overlap.first;
}

}  // namespace finescale
