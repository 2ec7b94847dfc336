// SPDX-License-Identifier: Apache-2.0
// What goes wrong inside a template, and what a hostile one may use. The template adds its name and
// line and throws Error.
#pragma once

#include <cstdint>
#include <string>

namespace finescale::jinja {

struct Fault {
  std::string message;
};
// A fault of the template's text.
struct SyntaxFault {
  std::string message;
  int line;
};

// A chat of a thousand messages uses less than a hundredth of each.
struct Limits {
  std::int64_t steps = 5'000'000;           // nodes evaluated and elements visited
  std::int64_t memory_bytes = 256LL << 20;  // of all values made, freed or not
  std::int64_t output_bytes = 64LL << 20;
  int depth = 300;  // nodes inside each other while rendering, calls of macros included
};

inline constexpr int kMaxValueDepth = 100;                   // lists in lists
inline constexpr std::int64_t kMaxValueWeight = 64LL << 20;  // bytes and elements of one value
inline constexpr int kMaxParseDepth = 100;                   // parentheses and blocks in each other
inline constexpr int kMaxNodeDepth = 200;  // of one expression; a chain of + counts
inline constexpr std::size_t kMaxTemplateBytes = 1U << 20;
inline constexpr std::size_t kMaxRange = 100'000;  // as Jinja's sandbox
inline constexpr std::size_t kMaxDictLiteral = 4096;

class Budget {
 public:
  explicit Budget(const Limits& limits) : limits_(limits) {}
  void steps(std::int64_t count) {
    steps_ += count;
    if (steps_ > limits_.steps) {
      throw Fault{"the template takes more than " + std::to_string(limits_.steps) + " steps"};
    }
  }
  void memory(std::size_t bytes) {
    memory_ += static_cast<std::int64_t>(bytes);
    if (memory_ > limits_.memory_bytes) {
      throw Fault{"the template makes values of more than " + std::to_string(limits_.memory_bytes) +
                  " bytes"};
    }
  }
  void output(std::size_t size_bytes) const {
    if (static_cast<std::int64_t>(size_bytes) > limits_.output_bytes) {
      throw Fault{"the rendered text is longer than " + std::to_string(limits_.output_bytes) +
                  " bytes"};
    }
  }
  void enter() {
    if (++depth_ > limits_.depth) {
      --depth_;
      throw Fault{"expressions and calls lie more than " + std::to_string(limits_.depth) +
                  " deep in each other"};
    }
  }
  void leave() noexcept { --depth_; }

 private:
  Limits limits_;
  std::int64_t steps_ = 0;
  std::int64_t memory_ = 0;
  int depth_ = 0;
};

}  // namespace finescale::jinja
