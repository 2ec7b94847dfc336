// SPDX-License-Identifier: Apache-2.0
// Truth, equality and order of values, as Python has them.
#include <algorithm>

#include "worker/data/jinja/value.h"

namespace finescale::jinja {

namespace {

bool lists_equal(const List& a, const List& b) {
  // A tuple never equals a list; what generators and views give is compared as a list here.
  const bool a_tuple = a.kind == List::Kind::kTuple;
  const bool b_tuple = b.kind == List::Kind::kTuple;
  return a_tuple == b_tuple &&
         std::equal(a.items.begin(), a.items.end(), b.items.begin(), b.items.end(), is_equal);
}

bool dicts_equal(const Dict& a, const Dict& b) {
  return a.entries.size() == b.entries.size() &&
         std::all_of(a.entries.begin(), a.entries.end(), [&b](const auto& entry) {
           const Value* other = b.find(entry.first);
           return other != nullptr && is_equal(entry.second, *other);
         });
}

}  // namespace

bool is_true(const Value& value) {
  double number = 0;
  if (value.undefined() != nullptr || value.is_none()) {
    return false;
  }
  if (as_number(value, &number)) {
    return number != 0;
  }
  if (const std::string* text = value.text()) {
    return !text->empty();
  }
  if (const List* list = value.list()) {
    return list->kind == List::Kind::kGenerator || !list->items.empty();
  }
  if (const Dict* dict = value.dict()) {
    return !dict->entries.empty();
  }
  return true;
}

bool is_equal(const Value& a, const Value& b) {
  std::int64_t i = 0;
  std::int64_t j = 0;
  if (as_integer(a, &i) && as_integer(b, &j)) {
    return i == j;
  }
  double x = 0;
  double y = 0;
  if (as_number(a, &x) && as_number(b, &y)) {
    return x == y;
  }
  if (a.text() != nullptr && b.text() != nullptr) {
    return *a.text() == *b.text();
  }
  if (a.list() != nullptr && b.list() != nullptr) {
    return lists_equal(*a.list(), *b.list());
  }
  if (a.dict() != nullptr && b.dict() != nullptr) {
    return dicts_equal(*a.dict(), *b.dict());
  }
  if (a.object() != nullptr) {
    return a.object() == b.object();
  }
  if (a.function() != nullptr) {
    return a.function() == b.function();
  }
  return (a.undefined() != nullptr && b.undefined() != nullptr) || (a.is_none() && b.is_none());
}

bool is_less(const Value& a, const Value& b) {
  std::int64_t i = 0;
  std::int64_t j = 0;
  if (as_integer(a, &i) && as_integer(b, &j)) {
    return i < j;
  }
  double x = 0;
  double y = 0;
  if (as_number(a, &x) && as_number(b, &y)) {
    return x < y;
  }
  if (a.text() != nullptr && b.text() != nullptr) {
    return *a.text() < *b.text();  // bytes of UTF-8 are ordered as code points are
  }
  if (a.list() != nullptr && b.list() != nullptr) {
    return std::lexicographical_compare(a.list()->items.begin(), a.list()->items.end(),
                                        b.list()->items.begin(), b.list()->items.end(), is_less);
  }
  for (const Value* side : {&a, &b}) {
    if (side->undefined() != nullptr) {
      fail_undefined(*side->undefined());
    }
  }
  throw Fault{"'" + type_name(a) + "' and '" + type_name(b) + "' have no order"};
}

}  // namespace finescale::jinja
