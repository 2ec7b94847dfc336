// SPDX-License-Identifier: Apache-2.0
#include "configs/stage_form.h"

#include <algorithm>
#include <charconv>

#include "configs/canonical.h"
#include "core/error.h"
#include "core/hash.h"

namespace finescale {

namespace {

constexpr char kBlankMark = '\x01';  // canonical text has no such character: it escapes them
constexpr char kFillingEnd = '\n';   // no key and no number has one
// Numbers that no sweep has: where they are printed is the blank.
constexpr std::int64_t kBudgetMark = 4611686018427387847;
constexpr std::int64_t kSeedMark = 4611686018427387709;
constexpr std::int64_t kDefaultSeed = 1;  // not printed in a key's text

void append_number(std::int64_t value, std::string& out) {
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  out.append(digits, end);
}

// Every string of a message, however deep.
template <class Change>
void change_strings(google::protobuf::Message& message, const Change& change) {
  using google::protobuf::FieldDescriptor;
  const google::protobuf::Reflection& r = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  r.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const int count = field->is_repeated() ? r.FieldSize(message, field) : 1;
    for (int i = 0; i < count; ++i) {
      if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
        change_strings(field->is_repeated() ? *r.MutableRepeatedMessage(&message, field, i)
                                            : *r.MutableMessage(&message, field),
                       change);
      } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING && field->is_repeated()) {
        r.SetRepeatedString(&message, field, i, change(r.GetRepeatedString(message, field, i)));
      } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
        r.SetString(&message, field, change(r.GetString(message, field)));
      }
    }
  }
}

void set_seed(config::StageSpec& spec, std::int64_t seed) {
  if (spec.has_train()) {
    spec.mutable_train()->set_seed(seed);
  } else if (spec.has_generate()) {
    spec.mutable_generate()->set_seed(seed);
  } else if (spec.has_select()) {
    spec.mutable_select()->set_seed(seed);
  } else if (spec.has_transform()) {
    spec.mutable_transform()->set_seed(seed);
  }
}

}  // namespace

StageForm::StageForm(const config::StageSpec& spec) : spec_(spec) {
  FS_CHECK(!spec.key().empty(), "a stage without a key has no form");
  config::StageSpec marked = spec;
  set_seed(marked, kSeedMark);
  if (has_budget()) {
    marked.mutable_train()->mutable_train()->set_data_budget(kBudgetMark);
  }
  key_pieces_ = pieces_of("finescale stage 1\n" + key_text(marked), true);
  text_pieces_ = pieces_of(canonical_text(marked), false);
  for (const Piece& piece : text_pieces_) {
    text_ += piece.before;
    if (piece.blank != Blank::kNone) {
      text_ += kBlankMark;
    }
  }
}

// Keys are hashes and the marks are numbers like no other, so where they stand in the text is where
// the fields are.
std::vector<StageForm::Piece> StageForm::pieces_of(const std::string& text, bool is_key) const {
  struct Found {
    std::size_t begin, size;
    Blank blank;
    std::size_t input;
  };
  std::vector<Found> found;
  const auto look_for = [&](const std::string& word, Blank blank, std::size_t input) {
    for (std::size_t at = text.find(word); at != std::string::npos;
         at = text.find(word, at + word.size())) {
      found.push_back({at, word.size(), blank, input});
    }
  };
  look_for("\"" + spec_.key() + "\"", Blank::kKey, 0);
  for (int i = 0; i < spec_.inputs_size(); ++i) {
    look_for("\"" + spec_.inputs(i) + "\"", Blank::kInput, static_cast<std::size_t>(i));
  }
  look_for(std::to_string(kBudgetMark), Blank::kBudget, 0);
  look_for(is_key ? "  seed: " + std::to_string(kSeedMark) + "\n" : std::to_string(kSeedMark),
           is_key ? Blank::kSeedLine : Blank::kSeed, 0);
  std::sort(found.begin(), found.end(),
            [](const Found& a, const Found& b) { return a.begin < b.begin; });
  std::vector<Piece> pieces;
  std::size_t at = 0;
  for (const Found& one : found) {
    FS_CHECK(one.begin >= at, "two blanks of a stage overlap");
    pieces.push_back({text.substr(at, one.begin - at), one.blank, one.input});
    at = one.begin + one.size;
  }
  pieces.push_back({text.substr(at), Blank::kNone, 0});
  return pieces;
}

void StageForm::append(const Piece& piece, const std::string& key, const StageBlanks& blanks,
                       std::string& out) const {
  switch (piece.blank) {
    case Blank::kNone:
      return;
    case Blank::kKey:
      out.append("\"").append(key) += '"';
      return;
    case Blank::kInput:
      out.append("\"").append(blanks.inputs[piece.input]) += '"';
      return;
    case Blank::kBudget:
      return append_number(blanks.budget, out);
    case Blank::kSeed:
      return append_number(blanks.seed, out);
    case Blank::kSeedLine:
      if (blanks.seed != kDefaultSeed) {
        out += "  seed: ";
        append_number(blanks.seed, out);
        out += '\n';
      }
      return;
  }
}

std::string StageForm::key(const StageBlanks& blanks) const {
  FS_CHECK(blanks.inputs.size() == static_cast<std::size_t>(spec_.inputs_size()),
           "a stage has other inputs than its form");
  std::string text;
  text.reserve(text_.size());
  for (const Piece& piece : key_pieces_) {
    text += piece.before;
    append(piece, {}, blanks, text);
  }
  return hash_hex(text);
}

std::string StageForm::fillings(const std::string& key, const StageBlanks& blanks) const {
  std::string out;
  for (const Piece& piece : text_pieces_) {
    if (piece.blank != Blank::kNone) {
      append(piece, key, blanks, out);
      out += kFillingEnd;
    }
  }
  return out;
}

config::StageSpec StageForm::spec(const std::string& key, const StageBlanks& blanks) const {
  config::StageSpec spec = spec_;
  change_strings(spec, [&](const std::string& text) {
    const auto same = std::find(spec_.inputs().begin(), spec_.inputs().end(), text);
    return same == spec_.inputs().end()
               ? text
               : std::string(
                     blanks.inputs[static_cast<std::size_t>(same - spec_.inputs().begin())]);
  });
  spec.set_key(key);
  set_seed(spec, blanks.seed);
  if (has_budget()) {
    spec.mutable_train()->mutable_train()->set_data_budget(blanks.budget);
  }
  return spec;
}

StageBlanks StageForm::example_blanks() const {
  return {{spec_.inputs().begin(), spec_.inputs().end()},
          spec_.train().train().data_budget(),
          stage_seed(spec_)};
}

std::int64_t stage_seed(const config::StageSpec& spec) {
  return spec.has_train()       ? spec.train().seed()
         : spec.has_generate()  ? spec.generate().seed()
         : spec.has_select()    ? spec.select().seed()
         : spec.has_transform() ? spec.transform().seed()
                                : 0;
}

std::string filled(std::string_view form, std::string_view fillings) {
  std::string out;
  out.reserve(form.size() + fillings.size());
  for (std::size_t mark = form.find(kBlankMark); mark != std::string_view::npos;
       mark = form.find(kBlankMark)) {
    const std::size_t end = fillings.find(kFillingEnd);
    if (end == std::string_view::npos) {
      throw Error(ErrorKind::kProtocol, "a stage's text lacks what its blanks are filled with");
    }
    out.append(form.substr(0, mark)).append(fillings.substr(0, end));
    form.remove_prefix(mark + 1);
    fillings.remove_prefix(end + 1);
  }
  return out.append(form);
}

}  // namespace finescale
