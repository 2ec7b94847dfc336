// SPDX-License-Identifier: Apache-2.0
#include "comm/rank_report.h"

#include <cstring>
#include <type_traits>

#include "core/error.h"

namespace finescale {

namespace {

class Writer {
 public:
  template <class T>
  void put(const T& value) {
    static_assert(std::is_arithmetic_v<T>);
    const auto bytes = std::as_bytes(std::span(&value, 1));
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  void put(const std::string& text) {
    put(static_cast<std::uint32_t>(text.size()));
    const auto bytes = std::as_bytes(std::span(text));
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  template <class T>
  void put(const std::vector<T>& values) {
    put(static_cast<std::uint32_t>(values.size()));
    for (const T& value : values) {
      put(value);
    }
  }
  void put(const CallReport& call) {
    put(call.operation);
    put(call.group);
    put(call.group_id);
    put(call.sequence);
    put(call.peer);
    put(call.tag);
    put(call.source);
    put(call.seconds);
    put(call.receives);
  }
  void put(const GroupReport& group) {
    put(group.id);
    put(group.num_entered);
    put(group.operations);
    put(group.sources);
    put(group.members);
  }
  [[nodiscard]] std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  std::vector<std::byte> bytes_;
};

class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  template <class T>
  void get(T& value) {
    static_assert(std::is_arithmetic_v<T>);
    std::memcpy(&value, next(sizeof(T)).data(), sizeof(T));
  }
  void get(std::string& text) {
    const auto bytes = next(count());
    text.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  template <class T>
  void get(std::vector<T>& values) {
    const std::uint32_t size = count();
    values.clear();
    for (std::uint32_t i = 0; i < size; ++i) {  // a wrong size ends at the end of the bytes
      get(values.emplace_back());
    }
  }
  void get(CallReport& call) {
    get(call.operation);
    get(call.group);
    get(call.group_id);
    get(call.sequence);
    get(call.peer);
    get(call.tag);
    get(call.source);
    get(call.seconds);
    get(call.receives);
  }
  void get(GroupReport& group) {
    get(group.id);
    get(group.num_entered);
    get(group.operations);
    get(group.sources);
    get(group.members);
  }

 private:
  std::uint32_t count() {
    std::uint32_t size = 0;
    get(size);
    return size;
  }
  std::span<const std::byte> next(std::size_t size) {
    if (size > bytes_.size()) {
      throw Error(ErrorKind::kProtocol, "a report of a rank is cut short");
    }
    const auto part = bytes_.first(size);
    bytes_ = bytes_.subspan(size);
    return part;
  }

  std::span<const std::byte> bytes_;
};

}  // namespace

std::vector<std::byte> encode(const RankReport& report) {
  Writer writer;
  writer.put(report.calls);
  writer.put(report.last);
  writer.put(report.groups);
  return writer.take();
}

RankReport decode_report(std::span<const std::byte> bytes) {
  Reader reader(bytes);
  RankReport report;
  reader.get(report.calls);
  reader.get(report.last);
  reader.get(report.groups);
  return report;
}

}  // namespace finescale
