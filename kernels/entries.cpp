// SPDX-License-Identifier: Apache-2.0
#include "kernels/entries.h"

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/dispatch.h"
#include "kernels/kernel_span.h"

namespace finescale {

void gather_entries(const Stream& stream, const Entries& entries, const TensorView& part,
                    const TensorView& values) {
  const KernelSpan span(stream, [&] {
    return KernelCall{"gather_entries",
                      {part.rows(), part.cols(), values.num_elements()},
                      0,
                      bytes_of(entries.places) + 3 * bytes_of(values)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::gather_entries(stream, entries, part, values);
      return;
    case DeviceType::kCuda:
      no_kernel("gather_entries");
  }
}

void scatter_entries(const Stream& stream, const Entries& entries, const TensorView& values,
                     std::int64_t columns, std::int64_t begin, const TensorView& kept) {
  const KernelSpan span(stream, [&] {
    return KernelCall{"scatter_entries",
                      {kept.num_elements(), values.num_elements()},
                      0,
                      bytes_of(entries.places) + 2 * bytes_of(values)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::scatter_entries(stream, entries, values, columns, begin, kept);
      return;
    case DeviceType::kCuda:
      no_kernel("scatter_entries");
  }
}

void add_in_steps(const Stream& stream, const TensorView& part, const TensorView& sums) {
  const KernelSpan span(stream, [&] {
    return KernelCall{
        "add_in_steps", {part.rows(), part.cols()}, 0, bytes_of(part) + 2 * bytes_of(sums)};
  });
  switch (stream.type()) {
    case DeviceType::kCpu:
      cpu::add_in_steps(stream, part, sums);
      return;
    case DeviceType::kCuda:
      no_kernel("add_in_steps");
  }
}

}  // namespace finescale
