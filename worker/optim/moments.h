// SPDX-License-Identifier: Apache-2.0
// What an update rule keeps of a dense list of elements: up to two slots, those of AdamW (m, v) in
// the form that train.optimizer_state says. Blocks with one scale lie on the grid of the slices
// (kSliceBlock from the unit's begin) and end where a tensor ends: no mesh cuts one, each has one
// weight decay, and tensors that several ranks of the tensor group hold keep the same bits on all
// of them. The main thread of a rank calls.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "configs/schema/train.pb.h"
#include "core/device.h"
#include "core/file_memory.h"
#include "core/tensor.h"
#include "kernels/packed_moments.h"
#include "worker/model/parameters.h"

namespace finescale {

// A tensor's neighbouring elements.
struct MomentPart {
  std::int64_t begin = 0;  // in the dense list
  std::int64_t size = 0;
  std::int64_t phase = 0;  // elements in front of it in its block of the grid
  std::string tensor;      // its name and the elements of it in front: what random numbers go by
  std::int64_t first_element = 0;
};

struct MomentPlace {
  Stream stream = Stream();                 // in the memory of its device, or
  std::optional<std::string> scratch = {};  // in a file of this directory (core/file_memory.h)
};

class Moments {
 public:
  // Zeros. The parts cover the list in order. dtype: of the values. Only m and v can be packed.
  Moments(config::OptimizerState form, std::vector<std::string> slots, DType dtype,
          std::int64_t seed, std::vector<MomentPart> parts, MomentPlace place = {});

  [[nodiscard]] bool is_packed() const noexcept { return form_ != config::OPTIMIZER_STATE_FULL; }
  [[nodiscard]] bool on_gpu() const noexcept { return place_.stream.on_gpu(); }
  // Null: in memory.
  [[nodiscard]] const FileMemory* file() const noexcept {
    return place_.scratch && !names_.empty() ? &memory_.file : nullptr;
  }
  // What the process holds of them at most, checkpoints aside.
  [[nodiscard]] std::size_t memory_bytes() const noexcept;
  // In full: elements [begin, begin + size) of the list; empty without such a slot.
  [[nodiscard]] TensorView m(std::int64_t begin, std::int64_t size) const {
    return slot(0, begin, size);
  }
  [[nodiscard]] TensorView v(std::int64_t begin, std::int64_t size) const {
    return slot(1, begin, size);
  }
  // Packed: of a part.
  [[nodiscard]] PackedMoments packed(std::size_t part) const;
  // Of bf16, else 0: what the update of a part rounds by in this step.
  [[nodiscard]] std::uint32_t rounding_key(std::size_t part, std::int64_t step) const;

  // As checkpoints have them: dense lists by slot. What is packed is expanded to f32 in the host's
  // memory (or another file), which lives from here to pack() or drop(), 8 bytes an element; what
  // is in full lies where it always does.
  struct Slot {
    std::string name;
    void* data = nullptr;
    DType dtype = DType::kF32;
    const FileMemory* file = nullptr;  // that data lies in, if any
  };
  enum class For { kWriting, kReading };
  [[nodiscard]] std::vector<Slot> slots(For purpose);
  void pack();  // after reading
  void drop();  // after writing

 private:
  struct Memory {  // one of the two
    AlignedBuffer buffer;
    FileMemory file;
    [[nodiscard]] std::byte* data() const noexcept {
      return file.data() != nullptr ? file.data() : static_cast<std::byte*>(buffer.data());
    }
  };
  [[nodiscard]] Memory zeros(std::size_t size_bytes, const Stream& where) const;
  [[nodiscard]] TensorView slot(std::size_t index, std::int64_t begin, std::int64_t size) const;
  // Codes and scales as flat lists, wherever they lie.
  [[nodiscard]] TensorView codes() const;
  [[nodiscard]] TensorView scales() const;
  [[nodiscard]] PackedMoments packed_in(const void* codes, const void* scales,
                                        std::size_t part) const;
  [[nodiscard]] TensorView expanded(int moment, const MomentPart& part) const;
  void leave(std::size_t part) const;  // with a part of both lists

  config::OptimizerState form_;
  std::vector<std::string> names_;
  DType dtype_;
  std::int64_t seed_;
  MomentPlace place_;
  std::vector<MomentPart> parts_;
  std::vector<std::uint64_t> keys_;         // of the tensors' names
  std::vector<std::int64_t> first_blocks_;  // by part
  std::int64_t num_elements_ = 0;
  std::int64_t num_blocks_ = 0;
  std::size_t element_bytes_;
  Memory memory_;         // slot by slot
  AlignedBuffer scales_;  // int8, f32: of m, then of v
  Memory expanded_;       // f32: m, then v
};

}  // namespace finescale
