// SPDX-License-Identifier: Apache-2.0
// Runs a sweep until it is done or told to stop: connects the reactor with the store, the RPC
// server, the launcher and the clock. One thread.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "configs/schema/sweep.pb.h"
#include "core/log.h"

namespace finescale {

struct CampaignOptions {
  config::Sweep sweep;
  std::string directory;             // absolute
  std::function<int()> stop_signal;  // 0, or the signal that asks to stop
  bool live_line = false;            // a terminal
  bool extend = false;               // the sweep may have grown
};

// Returns the exit code: 0 done, 1 some trial failed, 130/143 interrupted with its state saved.
[[nodiscard]] int run_campaign(const CampaignOptions& options, Logger& logger);

// Hash of a file's content, remembered by path, size and time in DIR/content.json; for planning.
class ContentHashes {
 public:
  explicit ContentHashes(std::string cache_file);
  ~ContentHashes();
  ContentHashes(const ContentHashes&) = delete;
  ContentHashes& operator=(const ContentHashes&) = delete;
  [[nodiscard]] std::string operator()(const std::string& path);
  // JSON of path -> hash of every file asked for, to be stored and compared with by a later run.
  [[nodiscard]] std::string used_text() const;
  // Throws kConfig naming the file whose content is not what that text says.
  void refuse_changes(const std::string& used_text) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace finescale
