// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/formats/tensor_file.h"

#include <algorithm>

namespace finescale {

const FileTensorInfo* TensorFile::find(std::string_view name) const {
  const std::vector<FileTensorInfo>& all = tensors();
  const auto found = std::lower_bound(
      all.begin(), all.end(), name,
      [](const FileTensorInfo& info, std::string_view wanted) { return info.name < wanted; });
  return found != all.end() && found->name == name ? &*found : nullptr;
}

}  // namespace finescale
