#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# clang-format in place over every tracked source.
set -euo pipefail
cd "$(dirname "$0")/.."
git ls-files -- '*.h' '*.cpp' '*.cu' | xargs clang-format -i
