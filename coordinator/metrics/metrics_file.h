// SPDX-License-Identifier: Apache-2.0
// metrics.h5: a view of the store, readable by h5py. Tables /trials (with offsets), /steps, /evals,
// /laws; attribute format_version. Written beside and published by rename, so it is never torn.
#pragma once

#include <string>

#include "coordinator/campaign_reader.h"
#include "coordinator/scaling/study.h"

namespace finescale {

void write_metrics_file(const Campaign& campaign, const Study& study, const std::string& path);

}  // namespace finescale
