// SPDX-License-Identifier: Apache-2.0
// An update whose moments lie in a file: window by window, the next one read ahead, the last one
// dropped, so that the process holds two of them. The same bits as all at once: the update goes
// element by element, and windows end where blocks with one scale do.
#pragma once

#include <cstdint>
#include <span>

#include "core/file_memory.h"
#include "worker/optim/update_rule.h"

namespace finescale {

// Elements of a window: 8 MiB for each f32 moment, which a disk reads at its full rate and an
// update takes some milliseconds for. A multiple of kMomentBlock.
inline constexpr std::int64_t kWindowElements = std::int64_t{1} << 21;

// Elements [begin, end) of a range; with packed moments begin is 0 or ends a block.
[[nodiscard]] UpdateRange part_of(const UpdateRange& range, std::int64_t begin, std::int64_t end);

// UpdateRule::update of ranges whose state lies in the file.
void update_in_windows(const FileMemory& file, const UpdateRule& rule, const Stream& stream,
                       std::span<const UpdateRange> ranges, const UpdateStep& step);

}  // namespace finescale
