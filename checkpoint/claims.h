// SPDX-License-Identifier: Apache-2.0
// What every rank of a group holds of every tensor, and the check that together they write each
// element exactly once.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/stored_file.h"
#include "comm/group.h"

namespace finescale {

struct Claim {  // one CheckpointTensor of one rank, without its memory
  int rank = 0;
  std::size_t number = 0;  // in the rank's list
  Shape shape;
  LocalPart part;
  std::int64_t begin = 0;
  std::int64_t end = 0;
  DType dtype = DType::kF32;
  bool writes = false;
  bool trainable = true;

  [[nodiscard]] bool is_whole() const { return end - begin == shape.num_elements(); }
};
using Claims = std::map<std::string, std::vector<Claim>>;  // by path; of a path in rank order

// Throws kInternal for a tensor that cannot be: part outside of the shape, range outside of the
// part, memory not dense or of another size.
void check_tensor(const CheckpointTensor& tensor);
[[nodiscard]] std::int64_t end_of(const CheckpointTensor& tensor);  // with -1 resolved

[[nodiscard]] Claims gather_claims(Group& group, const std::vector<CheckpointTensor>& tensors);
// Throws kInternal naming the tensor and the ranks when an element is written twice or never, or
// when ranks disagree about a tensor.
void check_written_once(const Claims& claims);
// The tensors that the claims describe, with their blocks numbered; offsets are not known yet.
[[nodiscard]] StoredFile tensors_of(const Claims& claims);

}  // namespace finescale
