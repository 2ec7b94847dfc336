// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/formats/safetensors_json.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include <nlohmann/json.hpp>

namespace finescale {

namespace {

// Tells how far the parser has read: its events carry no position.
struct CountedText {
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  const char* at = nullptr;
  const char** reached = nullptr;

  reference operator*() const { return *at; }
  CountedText& operator++() {
    ++at;
    *reached = at;
    return *this;
  }
  bool operator==(const CountedText& other) const { return at == other.at; }
  bool operator!=(const CountedText& other) const { return at != other.at; }
};

constexpr const char* kMetadataKey = "__metadata__";

// {"name": {"dtype": text, "shape": [n, ...], "data_offsets": [n, n]}, "__metadata__": {text:
// text}}
class Handler : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit Handler(std::string_view text) : begin_(text.data()), reached_(text.data()) {}

  [[nodiscard]] const char** reached() { return &reached_; }
  SafetensorsJson take() {
    check_names();
    return std::move(out_);
  }

  bool null() override { return wrong("null"); }
  bool boolean(bool /*value*/) override { return wrong("a boolean"); }
  bool number_integer(std::int64_t /*value*/) override { return wrong("a negative number"); }
  bool number_float(double /*value*/, const std::string& text) override {
    return wrong("the number " + text.substr(0, 32));
  }
  bool binary(nlohmann::json::binary_t& /*value*/) override { return wrong("binary data"); }

  bool number_unsigned(std::uint64_t value) override {
    if (place_ != Place::kShape && place_ != Place::kOffsets) {
      return wrong("the number " + std::to_string(value));
    }
    numbers_.push_back(value);
    return true;
  }

  bool string(std::string& value) override {
    if (place_ == Place::kMetadata) {
      if (!out_.metadata.emplace(field_, std::move(value)).second) {
        fail("the key " + field_ + " occurs twice");
      }
      return true;
    }
    if (place_ != Place::kTensor || field_ != "dtype") {
      return wrong("a text");
    }
    out_.tensors.back().dtype = std::move(value);
    return true;
  }

  bool start_object(std::size_t /*elements*/) override {
    switch (place_) {
      case Place::kOutside:
        place_ = Place::kTop;
        return true;
      case Place::kTop:
        if (name_ == kMetadataKey) {
          if (std::exchange(has_metadata_, true)) {
            fail("the key occurs twice");
          }
          place_ = Place::kMetadata;
          return true;
        }
        out_.tensors.emplace_back();
        out_.tensors.back().name = name_;
        out_.tensors.back().offset = offset();
        seen_ = 0;
        place_ = Place::kTensor;
        return true;
      default:
        return wrong("an object");
    }
  }

  bool key(std::string& value) override {
    if (place_ == Place::kTop) {
      name_ = std::move(value);
      field_.clear();
      return true;
    }
    field_ = std::move(value);
    if (place_ == Place::kTensor) {
      const unsigned bit = field_ == "dtype"          ? 1
                           : field_ == "shape"        ? 2
                           : field_ == "data_offsets" ? 4
                                                      : 0;
      if (bit == 0) {
        fail("unknown key, must be dtype, shape or data_offsets");
      }
      if ((seen_ & bit) != 0) {
        fail("the key occurs twice");
      }
      seen_ |= bit;
    }
    return true;
  }

  bool end_object() override {
    if (place_ == Place::kTensor && seen_ != 7) {
      field_ = (seen_ & 1) == 0 ? "dtype" : (seen_ & 2) == 0 ? "shape" : "data_offsets";
      fail("the key is missing");
    }
    place_ = place_ == Place::kTop ? Place::kOutside : Place::kTop;
    field_.clear();
    return true;
  }

  bool start_array(std::size_t /*elements*/) override {
    if (place_ != Place::kTensor || field_ == "dtype") {
      return wrong("a list");
    }
    place_ = field_ == "shape" ? Place::kShape : Place::kOffsets;
    numbers_.clear();
    return true;
  }

  bool end_array() override {
    SafetensorsJson::Tensor& tensor = out_.tensors.back();
    if (place_ == Place::kShape) {
      tensor.shape = numbers_;
    } else {
      if (numbers_.size() != 2) {
        fail(std::to_string(numbers_.size()) + " numbers, must be begin and end");
      }
      tensor.begin = numbers_[0];
      tensor.end = numbers_[1];
    }
    place_ = Place::kTensor;
    return true;
  }

  bool parse_error(std::size_t position, const std::string& /*token*/,
                   const nlohmann::json::exception& error) override {
    const std::string text = error.what();
    const std::size_t cut = text.find("] ");
    throw SafetensorsFault{
        position == 0 ? 0 : position - 1, "header",
        "not valid JSON: " + (cut == std::string::npos ? text : text.substr(cut + 2, 160))};
  }

 private:
  enum class Place { kOutside, kTop, kTensor, kShape, kOffsets, kMetadata };

  [[nodiscard]] std::uint64_t offset() const {
    return static_cast<std::uint64_t>(reached_ - begin_);
  }
  [[noreturn]] void fail(const std::string& message) const {
    const std::string field = name_.empty() && field_.empty() ? "header"
                              : field_.empty()                ? name_
                                                              : name_ + "." + field_;
    throw SafetensorsFault{offset(), field, message};
  }
  [[nodiscard]] bool wrong(const std::string& found) const {
    const char* wanted = "";
    switch (place_) {
      case Place::kOutside:
      case Place::kTop:
        wanted = "an object";
        break;
      case Place::kTensor:
        wanted = field_ == "dtype" ? "a text" : "a list of whole numbers from 0";
        break;
      case Place::kShape:
      case Place::kOffsets:
        wanted = "a whole number from 0";
        break;
      case Place::kMetadata:
        wanted = "a text";
        break;
    }
    fail(found + ", must be " + wanted);
  }

  void check_names() const {
    std::vector<const SafetensorsJson::Tensor*> sorted;
    sorted.reserve(out_.tensors.size());
    for (const SafetensorsJson::Tensor& tensor : out_.tensors) {
      sorted.push_back(&tensor);
    }
    std::stable_sort(sorted.begin(), sorted.end(),
                     [](const auto* a, const auto* b) { return a->name < b->name; });
    const auto twice =
        std::adjacent_find(sorted.begin(), sorted.end(),
                           [](const auto* a, const auto* b) { return a->name == b->name; });
    if (twice != sorted.end()) {
      throw SafetensorsFault{(*std::next(twice))->offset, (*twice)->name,
                             "two tensors have this name"};
    }
  }

  const char* begin_;
  const char* reached_;
  Place place_ = Place::kOutside;
  std::string name_;   // of the tensor
  std::string field_;  // of the tensor or of the metadata
  unsigned seen_ = 0;  // fields of the tensor: 1 dtype, 2 shape, 4 data_offsets
  bool has_metadata_ = false;
  std::vector<std::uint64_t> numbers_;
  SafetensorsJson out_;
};

}  // namespace

SafetensorsJson parse_safetensors_json(std::string_view text) {
  Handler handler(text);
  const CountedText begin{text.data(), handler.reached()};
  const CountedText end{text.data() + text.size(), handler.reached()};
  nlohmann::json::sax_parse(begin, end, &handler);
  return handler.take();
}

}  // namespace finescale
