// SPDX-License-Identifier: Apache-2.0
#include "comm/rpc/peer_messages.h"

#include <algorithm>
#include <cctype>
#include <cstdint>

namespace finescale {

namespace {

constexpr std::size_t kMaxName = 255;
constexpr std::size_t kMaxLine = 4096;  // of a path or what describes a machine
constexpr std::size_t kMaxText = 65536;
constexpr int kMaxRanks = 65536;
constexpr int kMaxTrials = 1000000;
constexpr int kMaxStages = 4096;  // in one message

// Keeps the first fault.
class Check {
 public:
  [[nodiscard]] const std::string& fault() const noexcept { return fault_; }

  void caller(const proto::Caller& caller) {
    require(caller.gang() > 0, "caller.gang must be above 0");
    require(caller.coordinator_epoch() >= 0, "caller.coordinator_epoch must not be negative");
    require(caller.number() >= 0, "caller.number must not be negative");
  }
  // The name of a stage, an attempt or a file of it: nothing that leads elsewhere in a path.
  void key(const char* field, const std::string& value) {
    require(value.size() <= kMaxName && std::all_of(value.begin(), value.end(),
                                                    [](unsigned char c) {
                                                      return c < 0x80 && (std::isalnum(c) != 0 ||
                                                                          c == '-' || c == '_');
                                                    }),
            std::string(field) + " must be up to 255 letters, digits, - and _");
  }
  // One line of printable ASCII.
  void line(const char* field, const std::string& value, std::size_t max_bytes) {
    const bool is_plain = std::all_of(value.begin(), value.end(),
                                      [](unsigned char c) { return c >= ' ' && c < 0x7f; });
    require(is_plain && value.size() <= max_bytes,
            std::string(field) + " must be one line of up to " + std::to_string(max_bytes) +
                " printable characters");
  }
  void at_most(const char* field, std::int64_t value, std::int64_t limit) {
    require(value >= 0 && value <= limit,
            std::string(field) + " must be from 0 to " + std::to_string(limit));
  }
  void path(const char* field, const std::string& value) {
    require(value.size() <= kMaxLine && value.find('\0') == std::string::npos,
            std::string(field) + " must be a path of up to 4096 bytes");
  }
  // Of one stage.
  void commit(const proto::CommitRequest& part) {
    key("key", part.key());
    key("manifest_hash", part.manifest_hash());
    path("attempt_dir", part.attempt_dir());
  }

 private:
  void require(bool ok, const std::string& what) {
    if (!ok && fault_.empty()) {
      fault_ = what;
    }
  }
  std::string fault_;
};

// Bytes of the UTF-8 character at `at`, or 0.
std::size_t character_length(const std::string& text, std::size_t at) {
  const auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  const unsigned first = byte(at);
  if (first < 0x80) {
    return 1;
  }
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4) {
    return 0;
  }
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xc0U) != 0x80) {
      return 0;
    }
  }
  // Longer than need be, half of a surrogate pair, above the last character.
  const unsigned second = byte(at + 1);
  const bool is_wrong = (first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
                        (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f);
  return is_wrong ? 0 : length;
}

}  // namespace

std::string message_fault(const proto::RegisterRequest& message) {
  Check check;
  check.caller(message.caller());
  check.at_most("ranks", message.ranks(), kMaxRanks);
  check.line("host", message.host(), kMaxName);
  check.line("environment", message.environment(), kMaxLine);
  check.key("held_key", message.held_key());
  check.at_most("also_held", message.also_held_size(), kMaxStages);
  for (const proto::HeldLease& lease : message.also_held()) {
    check.key("also_held.key", lease.key());
  }
  return check.fault();
}

std::string message_fault(const proto::NextRequest& message) {
  Check check;
  check.caller(message.caller());
  check.at_most("most", message.most(), kMaxStages);
  return check.fault();
}

std::string message_fault(const proto::HeartbeatRequest& message) {
  Check check;
  check.caller(message.caller());
  check.key("key", message.key());
  check.line("progress.doing", message.progress().doing(), kMaxName);
  check.at_most("rank_age_s", message.rank_age_s_size(), kMaxRanks);
  return check.fault();
}

std::string message_fault(const proto::CommitRequest& message) {
  Check check;
  check.caller(message.caller());
  check.commit(message);
  check.at_most("next.most", message.next().most(), kMaxStages);
  check.at_most("more", message.more_size(), kMaxStages);
  for (const proto::CommitRequest& part : message.more()) {
    check.commit(part);
    check.at_most("more.more", part.more_size(), 0);
    check.at_most("more.next", static_cast<std::int64_t>(part.has_next()), 0);
  }
  return check.fault();
}

std::string message_fault(const proto::FailRequest& message) {
  Check check;
  check.caller(message.caller());
  check.key("key", message.key());
  check.line("kind", message.kind(), kMaxName);
  check.at_most("message", static_cast<std::int64_t>(message.message().size()), kMaxText);
  return check.fault();
}

std::string message_fault(const proto::ControlRequest& message) {
  Check check;
  check.line("command", message.command(), kMaxName);
  check.at_most("trials", message.trials_size(), kMaxTrials);
  for (const std::string& trial : message.trials()) {
    check.line("trials", trial, kMaxName);
  }
  return check.fault();
}

std::string clean_text(const std::string& text, std::size_t max_bytes) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = character_length(text, at);
    if (out.size() + std::max<std::size_t>(1, length) > max_bytes) {
      break;
    }
    out.append(length == 0 ? "?" : text.substr(at, length));
    at += std::max<std::size_t>(1, length);
  }
  return out;
}

}  // namespace finescale
