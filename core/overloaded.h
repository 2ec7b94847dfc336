// SPDX-License-Identifier: Apache-2.0
// One visitor of a variant from a lambda for each alternative.
#pragma once

namespace finescale {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

}  // namespace finescale
