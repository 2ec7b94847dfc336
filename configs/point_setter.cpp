// SPDX-License-Identifier: Apache-2.0
#include "configs/point_setter.h"

#include <iterator>
#include <utility>

#include "configs/field_path.h"
#include "configs/parse.h"
#include "configs/rules.h"

namespace finescale {

namespace {

// No value decides what another field is: another preset is another architecture, and the fields of
// a method are there when it is chosen.
bool is_plain(const std::map<std::string, std::string>& values) {
  for (auto item = values.begin(); item != values.end(); ++item) {
    const auto next = std::next(item);  // paths are sorted: what is inside follows
    const bool holds_next = next != values.end() && next->first.starts_with(item->first + ".");
    if (item->first == "base.preset" || holds_next) {
      return false;
    }
  }
  return true;
}

}  // namespace

// The message that holds the field, with nothing else in it.
const google::protobuf::Message& PointSetter::parsed(const std::string& path,
                                                     const std::string& value,
                                                     const std::string& where) {
  std::unique_ptr<Message>& held = parsed_[path][value];
  if (held == nullptr) {
    config::Sweep copy = sweep_;
    set_field(copy, path, value, where);
    const FieldRef field = find_field(copy, path, where);
    std::unique_ptr<Message> only(field.message->New());
    field.message->GetReflection()->SwapFields(field.message, only.get(), {field.field});
    held = std::move(only);
  }
  return *held;
}

config::Sweep PointSetter::at(const std::map<std::string, std::string>& values,
                              const std::string& where) {
  if (!is_plain(values) || sweep_.derived_size() > 0) {
    return apply_values(sweep_, values, where);
  }
  config::Sweep copy = sweep_;
  for (const auto& [path, text] : values) {
    const FieldRef field = find_field(copy, path, where);
    if (!field.key.empty()) {  // an entry of a mapping
      return apply_values(sweep_, values, where);
    }
    const Message& value = parsed(path, text, where);
    field.message->GetReflection()->ClearField(field.message, field.field);
    field.message->MergeFrom(value);
  }
  resolve_defaults(copy);
  return copy;
}

}  // namespace finescale
