// SPDX-License-Identifier: Apache-2.0
#include "coordinator/serve/prometheus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "coordinator/serve/live_page.h"

namespace finescale {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kStatus = R"({"campaign": "a \"b\"\\c", "state": "running",
 "trials": {"planned": 3, "pending": 1, "running": 1, "done": 1, "failed": 0, "stopped": 0},
 "stages": {"planned": 5, "pending": 2, "running": 1, "done": 2, "failed": 0, "stopped": 0},
 "gangs": [{"id": 2, "state": "running", "ranks": 4, "host": "</script><b>", "stage": "train", "trial": "t", "step": 7,
  "steps": 9, "loss": null, "tokens_per_second": 12.5, "heartbeat_age_s": 0.5}],
 "tokens_per_second": 12.5, "eta_s": null, "elapsed_s": 4})";

TEST(Prometheus, NamesWhatIsKnown) {
  const std::string text = prometheus_text(kStatus);
  EXPECT_THAT(text,
              HasSubstr("finescale_trials{campaign=\"a \\\"b\\\"\\\\c\",state=\"planned\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE finescale_stages gauge\n"));
  EXPECT_THAT(text, HasSubstr("gang=\"2\",host=\"</script><b>\"} 7\n"));
  EXPECT_THAT(text, HasSubstr("finescale_gang_running{"));
}

TEST(Prometheus, LeavesOutWhatIsNot) {
  const std::string text = prometheus_text(kStatus);
  EXPECT_THAT(text, Not(HasSubstr("finescale_eta_seconds{")));
  EXPECT_THAT(text, Not(HasSubstr("finescale_gang_loss{")));
  EXPECT_THAT(text, Not(HasSubstr("null")));
  EXPECT_THAT(prometheus_text("{}"), HasSubstr("state=\"unknown\"} 1"));
}

TEST(LivePage, TextFromElsewhereEndsNoElement) {
  const LivePart part = live_part(kStatus, "n0");
  EXPECT_THAT(part.at_end_html, HasSubstr("\\u003c/script>\\u003cb>"));
  EXPECT_THAT(part.policy, HasSubstr("script-src 'nonce-n0'"));
  EXPECT_THAT(part.panel_html, HasSubstr("planned 3"));
}

}  // namespace
}  // namespace finescale
