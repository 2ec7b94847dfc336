// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <filesystem>

#include "checkpoint/checkpoint.h"
#include "comm/together.h"
#include "core/error.h"

namespace finescale {

namespace {

struct Candidate {
  std::int64_t step = 0;
  std::string path;
};

std::optional<std::int64_t> step_of(const std::string& name) {
  constexpr std::string_view kPrefix = "step-";
  constexpr std::string_view kSuffix = ".h5";
  if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) {
    return std::nullopt;
  }
  std::int64_t step = 0;
  const char* end = name.data() + name.size() - kSuffix.size();
  const auto [stop, code] = std::from_chars(name.data() + kPrefix.size(), end, step);
  return code == std::errc() && stop == end ? std::optional(step) : std::nullopt;
}

// Most steps first. Attempts of one stage compute the same numbers, so among equals the newest
// attempt's file is taken.
std::vector<Candidate> candidates(const std::vector<std::string>& directories) {
  std::vector<Candidate> found;
  for (const std::string& directory : directories) {
    std::error_code code;
    for (std::filesystem::directory_iterator entry(directory, code), end; !code && entry != end;
         entry.increment(code)) {
      if (const auto step = step_of(entry->path().filename().string()); step.has_value()) {
        found.push_back({*step, entry->path().string()});
      }
    }
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const Candidate& a, const Candidate& b) { return a.step > b.step; });
  return found;
}

}  // namespace

std::optional<std::string> newest_checkpoint(Group& group,
                                             const std::vector<std::string>& directories,
                                             std::vector<std::string>* skipped) {
  std::vector<Candidate> found;
  run_together(group, [&] {
    if (group.rank() == 0) {
      found = candidates(directories);
    }
  });
  std::string newest;  // empty: none
  std::vector<std::string> warnings;
  for (std::size_t next = 0; newest.empty(); ++next) {
    std::string path = next < found.size() ? found[next].path : std::string();
    group.broadcast(path, 0);
    if (path.empty()) {
      break;
    }
    try {  // every hash, so that a resume does not find out half-way
      CheckpointReader(group, path).verify();
      newest = path;
    } catch (const Error& error) {
      warnings.emplace_back(error.what());
    }
  }
  if (group.rank() != 0) {
    warnings.clear();  // rank 0 reports them
  }
  if (skipped != nullptr) {
    skipped->insert(skipped->end(), warnings.begin(), warnings.end());
  }
  return newest.empty() ? std::nullopt : std::optional(newest);
}

}  // namespace finescale
