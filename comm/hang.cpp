// SPDX-License-Identifier: Apache-2.0
#include "comm/hang.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <tuple>
#include <vector>

namespace finescale {

namespace {

constexpr std::size_t kMaxNamed = 8;   // ranks of one message
constexpr std::size_t kMaxStates = 4;  // of them, with what they do

// Why a call waits, the likelier root of a hang last.
enum class Cause { kNothingMissing, kLateInCall, kLateOutside, kOtherOperation, kSilent };

struct Wait {
  int rank = 0;
  const CallReport* call = nullptr;
  Cause cause = Cause::kNothingMissing;
  std::vector<int> late;
  const GroupReport* other = nullptr;  // kOtherOperation: what the first late rank entered
};

using Ranks = std::span<const RankState>;

const RankState& state(Ranks ranks, int rank) {
  return ranks[static_cast<std::size_t>(rank)];
}

const GroupReport* find_group(const RankReport& report, std::uint64_t id) {
  const auto found = std::find_if(report.groups.begin(), report.groups.end(),
                                  [&](const GroupReport& group) { return group.id == id; });
  return found == report.groups.end() ? nullptr : &*found;
}

// Place of collective `sequence` in the newest ones that a rank remembers; npos: forgotten.
std::size_t place_of(const GroupReport& group, std::uint64_t sequence) {
  const std::uint64_t back = group.num_entered - sequence;
  return back < group.operations.size() ? group.operations.size() - 1 - back : std::string::npos;
}

// How member `rank` of the group stands to a collective that another waits in.
Cause cause_in_collective(Ranks ranks, int rank, const CallReport& call) {
  const auto& report = state(ranks, rank).report;
  if (!report) {
    return Cause::kSilent;
  }
  const GroupReport* group = find_group(*report, call.group_id);
  if (group == nullptr || group->num_entered < call.sequence) {
    return report->calls.empty() ? Cause::kLateOutside : Cause::kLateInCall;
  }
  const std::size_t place = place_of(*group, call.sequence);
  return place != std::string::npos && group->operations[place] != call.operation
             ? Cause::kOtherOperation
             : Cause::kNothingMissing;
}

Cause cause_of_peer(Ranks ranks, int waiting, const CallReport& call) {
  const auto& report = state(ranks, call.peer).report;
  if (!report) {
    return Cause::kSilent;
  }
  for (const CallReport& theirs : report->calls) {
    if (theirs.group_id == call.group_id && theirs.peer == waiting && theirs.tag == call.tag &&
        theirs.receives != call.receives) {
      return Cause::kNothingMissing;
    }
  }
  return report->calls.empty() ? Cause::kLateOutside : Cause::kLateInCall;
}

// The late ranks of the worst cause only.
Wait judge(Ranks ranks, int rank, const CallReport& call) {
  Wait wait;
  wait.rank = rank;
  wait.call = &call;
  std::vector<int> others = {call.peer};
  if (call.peer < 0) {
    const GroupReport* group = find_group(*state(ranks, rank).report, call.group_id);
    others = group == nullptr ? std::vector<int>{} : group->members;
  }
  for (const int other : others) {
    if (other == rank || other < 0 || static_cast<std::size_t>(other) >= ranks.size()) {
      continue;
    }
    const Cause cause =
        call.peer < 0 ? cause_in_collective(ranks, other, call) : cause_of_peer(ranks, rank, call);
    if (cause > wait.cause) {
      wait.cause = cause;
      wait.late.clear();
    }
    if (cause == wait.cause && cause != Cause::kNothingMissing) {
      wait.late.push_back(other);
    }
  }
  if (wait.cause == Cause::kOtherOperation) {
    wait.other = find_group(*state(ranks, wait.late.front()).report, call.group_id);
  }
  return wait;
}

// Every wait that can be reached from a call older than the timeout: those of the ranks it waits
// for, whatever their age, and so on.
std::vector<Wait> waits_behind(Ranks ranks, double timeout_s) {
  std::vector<Wait> waits;
  std::vector<bool> seen(ranks.size(), false);
  const auto add_calls = [&](std::size_t rank, double age_s) {
    if (!ranks[rank].report || seen[rank]) {
      return;
    }
    for (const CallReport& call : ranks[rank].report->calls) {
      if (call.seconds >= age_s) {
        waits.push_back(judge(ranks, static_cast<int>(rank), call));
        seen[rank] = seen[rank] || age_s == 0;
      }
    }
  };
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    add_calls(rank, timeout_s);
  }
  for (std::size_t i = 0; i < waits.size(); ++i) {  // grows
    const std::vector<int> late = waits[i].late;
    for (const int other : late) {
      add_calls(static_cast<std::size_t>(other), 0);
    }
  }
  return waits;
}

std::string seconds_text(double seconds) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), seconds < 10 ? "%.1f s" : "%.0f s", seconds);
  return text.data();
}

std::string call_text(const CallReport& call) {
  std::string text =
      call.operation + " #" + std::to_string(call.sequence) + " of group " + call.group;
  if (call.peer >= 0) {
    text += (call.receives ? " from rank " : " to rank ") + std::to_string(call.peer) + " (tag " +
            std::to_string(call.tag) + ")";
  }
  return text;
}

std::string rank_text(Ranks ranks, int rank) {
  const RankIdentity& identity = state(ranks, rank).identity;
  return "rank " + std::to_string(rank) + " (" + identity.host + ", pid " +
         std::to_string(identity.pid) + ")";
}

std::string ranks_text(Ranks ranks, const std::vector<int>& list) {
  std::string text;
  for (std::size_t i = 0; i < std::min(list.size(), kMaxNamed); ++i) {
    text += (i == 0 ? "" : ", ") + rank_text(ranks, list[i]);
  }
  if (list.size() > kMaxNamed) {
    text += " and " + std::to_string(list.size() - kMaxNamed) + " more";
  }
  return text;
}

// What a rank does meanwhile.
std::string doing_text(Ranks ranks, int rank) {
  std::string text = "; rank " + std::to_string(rank);
  const auto& report = state(ranks, rank).report;
  if (!report) {
    return text + " does not answer";
  }
  if (report->calls.empty()) {
    return text +
           (report->last.operation.empty()
                ? " has made no call yet"
                : " is in no call since " + call_text(report->last) + " at " + report->last.source +
                      " ended " + seconds_text(report->last.seconds) + " ago");
  }
  for (std::size_t i = 0; i < report->calls.size(); ++i) {
    const CallReport& call = report->calls[i];
    text += (i == 0 ? " is in " : " and in ") + call_text(call) + " at " + call.source;
  }
  return text;
}

int num_waiting(Ranks ranks, const CallReport& call) {
  return static_cast<int>(std::count_if(ranks.begin(), ranks.end(), [&](const RankState& one) {
    return one.report && std::any_of(one.report->calls.begin(), one.report->calls.end(),
                                     [&](const CallReport& other) {
                                       return other.peer < 0 && other.group_id == call.group_id &&
                                              other.sequence == call.sequence &&
                                              other.operation == call.operation;
                                     });
  }));
}

std::string waiting_text(Ranks ranks, const Wait& wait) {
  const CallReport& call = *wait.call;
  const int others = call.peer < 0 ? num_waiting(ranks, call) : 1;
  const std::string who = others == 1 ? "rank " + std::to_string(wait.rank) + " has"
                                      : std::to_string(others) + " ranks have";
  return who + " waited in for " + seconds_text(call.seconds) + " at " + call.source;
}

std::string describe(Ranks ranks, const Wait& wait) {
  const CallReport& call = *wait.call;
  const std::string late = ranks_text(ranks, wait.late);
  const std::string has = wait.late.size() == 1 ? " has" : " have";
  std::string text = "hang: ";
  switch (wait.cause) {
    case Cause::kNothingMissing:
      return text + "nobody is missing in " + call_text(call) + ", which " +
             waiting_text(ranks, wait) + ": the network does not deliver, or the timeout is short";
    case Cause::kOtherOperation: {
      const std::size_t place = place_of(*wait.other, call.sequence);
      text += late + has + " entered " + wait.other->operations[place] + " at " +
              wait.other->sources[place] + " instead of " + call_text(call) + ", which ";
      break;
    }
    case Cause::kLateInCall:
    case Cause::kLateOutside:
    case Cause::kSilent:
      text += late + has + " not entered " +
              (call.peer < 0   ? ""
               : call.receives ? "the send for "
                               : "the receive for ") +
              call_text(call) + ", which ";
      break;
  }
  text += waiting_text(ranks, wait);
  for (std::size_t i = 0; i < std::min(wait.late.size(), kMaxStates); ++i) {
    text += doing_text(ranks, wait.late[i]);
  }
  return text;
}

}  // namespace

std::optional<std::string> describe_hang(std::span<const RankState> ranks, double timeout_s) {
  const std::vector<Wait> waits = waits_behind(ranks, timeout_s);
  if (waits.empty()) {
    return std::nullopt;
  }
  // Of equal causes: the fewest late ranks (the many are right), then the longest wait.
  const auto worst = std::min_element(waits.begin(), waits.end(), [](const Wait& a, const Wait& b) {
    return std::tuple(-static_cast<int>(a.cause), a.late.size(), -a.call->seconds) <
           std::tuple(-static_cast<int>(b.cause), b.late.size(), -b.call->seconds);
  });
  return describe(ranks, *worst);
}

}  // namespace finescale
