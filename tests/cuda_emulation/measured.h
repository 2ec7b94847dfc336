// SPDX-License-Identifier: Apache-2.0
// Operations whose launches access_test.cpp looks at, and what each launch must keep to.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tests/cuda_emulation/cases.h"

namespace finescale::measured {

constexpr std::int64_t kTokens = 32;
constexpr std::int64_t kCols = 512;

// What one launch of an operation must keep to.
struct Launch {
  std::string kernel;         // file:name<template arguments>
  double operand_bytes;       // each operand once; 0: read again on purpose, not limited
  double most_sectors = 1.1;  // against the least
};

struct Operation {
  std::string name;
  DType dtype;
  std::function<void(const Side&)> run;
  std::vector<Launch> launches;
};

// Elements of a matrix of tokens in bytes, `count` of them.
inline double matrices(DType dtype, double count) {
  return count * kTokens * kCols * static_cast<double>(dtype_size(dtype));
}

// Of the kernels that f32 and bf16 share: `type` as the compiler writes it, `pack` elements of it.
[[nodiscard]] std::vector<Operation> operations_of_both_types(DType dtype, const std::string& type,
                                                              int pack);
// Of all others.
[[nodiscard]] std::vector<Operation> operations_of_one_type();

}  // namespace finescale::measured
