// SPDX-License-Identifier: Apache-2.0
#include "coordinator/spec_table.h"

#include "coordinator/stage_work.h"
#include "core/error.h"

namespace finescale {

void SpecTable::put(const config::StageSpec& spec) {
  stages_[spec.key()] = {spec.SerializeAsString(), spec.train().start(),
                         finescale::work_until_end(spec)};
}

config::StageSpec SpecTable::at(const std::string& key) const {
  const auto found = stages_.find(key);
  config::StageSpec spec;
  FS_CHECK(found != stages_.end() && !found->second.bytes.empty() &&
               spec.ParseFromString(found->second.bytes),
           "no text of stage " + key + " is at hand");
  return spec;
}

void SpecTable::release(const std::string& key) {
  stages_.at(key).bytes = std::string();
}

}  // namespace finescale
