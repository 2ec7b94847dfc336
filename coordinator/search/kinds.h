// SPDX-License-Identifier: Apache-2.0
// The kinds of search; the registry chooses.
#pragma once

#include <memory>

#include "coordinator/search/search.h"

namespace finescale {

[[nodiscard]] std::unique_ptr<Search> make_grid_search(const SearchSpace& space);
[[nodiscard]] std::unique_ptr<Search> make_random_search(const config::RandomSearch& config,
                                                         const SearchSpace& space);
[[nodiscard]] std::unique_ptr<Search> make_halving(const config::Rungs& config,
                                                   const SearchSpace& space);
[[nodiscard]] std::unique_ptr<Search> make_asha(const config::Rungs& config,
                                                const SearchSpace& space);
[[nodiscard]] std::unique_ptr<Search> make_tpe(const config::Tpe& config, const SearchSpace& space);

}  // namespace finescale
