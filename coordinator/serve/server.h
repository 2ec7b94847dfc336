// SPDX-License-Identifier: Apache-2.0
// The page of `finescale serve`: the report of a campaign and its status as it goes, to readers on
// this machine who know the token. Reads the directory only, so a live coordinator is not
// disturbed.
#pragma once

#include <memory>
#include <string>

namespace finescale {

class CampaignServer {
 public:
  // Listens on 127.0.0.1 at once; port 0: any that is free. Throws kResource when it is taken.
  CampaignServer(std::string directory, int port, std::string token);
  ~CampaignServer();
  CampaignServer(const CampaignServer&) = delete;
  CampaignServer& operator=(const CampaignServer&) = delete;

  [[nodiscard]] int port() const noexcept;
  [[nodiscard]] std::string url() const;  // with the token
  // Answers until stop().
  void run();
  void stop();  // any thread

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace finescale
