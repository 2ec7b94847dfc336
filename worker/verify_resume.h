// SPDX-License-Identifier: Apache-2.0
// A certificate of a training stage: some of its updates are executed again from the checkpoint
// that it started from, interrupted and resumed in the middle, and compared with its record bit for
// bit.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "comm/proto/result.pb.h"
#include "core/log.h"

namespace finescale {

struct ResumeCertificate {
  std::string key;                             // of the stage
  std::int64_t first_step = 0, last_step = 0;  // updates that were executed again
  std::int64_t resumed_after = 0;              // 0: too few to interrupt
  std::int64_t rows = 0;                       // of the record, compared
  bool compared_weights = false;               // the stretch reached the end
  std::optional<std::int64_t> differs_at;      // first update with another bit
  double largest_deviation = 0;                // of a loss, relative
  std::string weights_differ;                  // name of a tensor with another bit
  std::string recorded_environment, environment;
  bool may_differ = false;  // other instructions, threads or tensor ranks than the record's

  [[nodiscard]] bool is_bit_equal() const { return !differs_at && weights_differ.empty(); }
  // Another machine computes other bits of the same numbers.
  [[nodiscard]] bool is_tolerance_equal() const;
};

// First update with another bit, and the largest relative deviation of a loss, over updates up to
// `last`. `rows`: how many both have.
void compare_rows(const proto::StageResult& record, const proto::StageResult& again,
                  std::int64_t last, ResumeCertificate& certificate);

// `artifact`: of a train stage, its inputs beside it. `steps`: at most so many updates; 0: all.
// Throws kConfig when it is no such artifact, kCheckpoint when it is damaged.
[[nodiscard]] ResumeCertificate verify_resume(const std::string& artifact, std::int64_t steps,
                                              Logger& logger);

[[nodiscard]] std::string certificate_json(const ResumeCertificate& certificate);
[[nodiscard]] std::string certificate_text(const ResumeCertificate& certificate);

}  // namespace finescale
