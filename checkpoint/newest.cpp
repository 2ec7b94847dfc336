// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <filesystem>

#include "checkpoint/checkpoint.h"
#include "checkpoint/h5.h"
#include "comm/together.h"

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

// Opens it and checks every hash, so that a resume does not find out half-way.
void verify(const std::string& path) {
  const auto single = make_single_group();
  const CheckpointReader reader(*single, path);
  h5::in_file(path, [&] {
    const h5::File file = h5::open_checkpoint(path);
    for (const LogicalTensor& tensor : reader.tensors("/")) {
      const h5::Dataset dataset(H5_CHECK(H5Dopen2(file.get(), tensor.name.c_str(), H5P_DEFAULT)));
      if (h5::hash_dataset(dataset.get()) != h5::read_text(dataset.get(), "xxh3_128")) {
        throw Error(ErrorKind::kCheckpoint,
                    "/" + tensor.name + " does not match its hash: the file is damaged");
      }
    }
  });
}

}  // namespace

std::optional<std::string> newest_checkpoint(Group& group,
                                             const std::vector<std::string>& directories,
                                             std::vector<std::string>* skipped) {
  std::string newest;  // empty: none
  std::vector<std::string> warnings;
  run_together(group, [&] {
    if (group.rank() != 0) {
      return;
    }
    for (const Candidate& candidate : candidates(directories)) {
      try {
        verify(candidate.path);
        newest = candidate.path;
        return;
      } catch (const Error& error) {
        warnings.emplace_back(error.what());
      }
    }
  });
  group.broadcast(newest, 0);
  if (skipped != nullptr) {
    skipped->insert(skipped->end(), warnings.begin(), warnings.end());  // rank 0 reports them
  }
  return newest.empty() ? std::nullopt : std::optional(newest);
}

}  // namespace finescale
