// SPDX-License-Identifier: Apache-2.0
// A stage with blanks: what stages that differ in their keys, data budget and seed alone have in
// common. Key and text of one of them are the form's with its blanks filled, at a fortieth of the
// cost of printing a message: a sweep has a few forms and up to 100,000s of stages.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "configs/schema/stage.pb.h"

namespace finescale {

struct StageBlanks {
  std::vector<std::string_view> inputs;  // keys, as many as the form has
  std::int64_t budget = 0;               // where the form has one
  std::int64_t seed = 0;                 // where the kind has one
};

class StageForm {
 public:
  // Of a keyed stage; its own blanks do not matter.
  explicit StageForm(const config::StageSpec& spec);

  // stage_key of the stage with these blanks.
  [[nodiscard]] std::string key(const StageBlanks& blanks) const;
  // The stage itself.
  [[nodiscard]] config::StageSpec spec(const std::string& key, const StageBlanks& blanks) const;
  // Its canonical text is filled(text(), fillings(key, blanks)).
  [[nodiscard]] const std::string& text() const noexcept { return text_; }
  [[nodiscard]] std::string fillings(const std::string& key, const StageBlanks& blanks) const;

  [[nodiscard]] bool has_budget() const noexcept { return spec_.train().train().has_data_budget(); }
  [[nodiscard]] const config::StageSpec& example() const noexcept { return spec_; }
  // What the stage had in its blanks.
  [[nodiscard]] StageBlanks example_blanks() const;

 private:
  enum class Blank { kNone, kKey, kInput, kBudget, kSeed, kSeedLine };
  struct Piece {
    std::string before;  // text in front of the blank
    Blank blank = Blank::kNone;
    std::size_t input = 0;
  };
  [[nodiscard]] std::vector<Piece> pieces_of(const std::string& text, bool is_key) const;
  void append(const Piece& piece, const std::string& key, const StageBlanks& blanks,
              std::string& out) const;

  config::StageSpec spec_;
  std::vector<Piece> key_pieces_;
  std::vector<Piece> text_pieces_;
  std::string text_;
};

// 0: a kind without a seed.
[[nodiscard]] std::int64_t stage_seed(const config::StageSpec& spec);

// A form's text with its blanks filled. Throws kProtocol when there are too few fillings.
[[nodiscard]] std::string filled(std::string_view form, std::string_view fillings);

}  // namespace finescale
