// SPDX-License-Identifier: Apache-2.0
// Messages of a gang that says anything, in any order, to the scheduler: each is answered once or
// held back, and no stage is published that the gang has no lease of. Input: a byte that chooses
// the message, a byte of its length, its wire format; again.
#include <map>
#include <string>
#include <variant>

#include "comm/rpc/peer_messages.h"
#include "coordinator/reactor.h"
#include "tests/fuzz/fuzz_target.h"

namespace finescale {
namespace {

class Session {
 public:
  Session() : reactor_(options()) {
    add("a", {});
    add("b", {"a"});
    add("c", {"a"});
    take(reactor_.on_tick(now_));
  }

  void say(std::uint8_t kind, const std::string& bytes) {
    now_ += 0.1 * (kind >> 4);
    switch (kind % 6) {
      case 0:
        return heard<proto::RegisterRequest>(bytes, &Reactor::on_register);
      case 1:
        return heard<proto::NextRequest>(bytes, &Reactor::on_next);
      case 2:
        return heard<proto::HeartbeatRequest>(bytes, &Reactor::on_heartbeat);
      case 3:
        return heard<proto::CommitRequest>(bytes, &Reactor::on_commit);
      case 4:
        return heard<proto::FailRequest>(bytes, &Reactor::on_fail);
      default:
        return take(reactor_.on_tick(now_));
    }
  }

 private:
  static constexpr std::size_t kLongText = 64;
  static ReactorOptions options() {
    ReactorOptions options;
    options.gangs = 2;
    return options;
  }
  void add(const std::string& key, std::vector<std::string> inputs) {
    StageEntry stage;
    stage.stored.key = key;
    stage.inputs = std::move(inputs);
    reactor_.add_stage(std::move(stage), now_);
  }
  template <class Message, class Handler>
  void heard(const std::string& bytes, Handler handler) {
    Message message;
    if (message.ParsePartialFromString(bytes)) {
      (void)message_fault(message);  // the server asks; the scheduler must bear all without it
      const std::string text = clean_text(bytes, kLongText);
      FS_CHECK(text.size() <= kLongText && clean_text(text, kLongText) == text,
               "text that is not clean");
      take((reactor_.*handler)(++request_, message, now_));
    }
  }
  void take(const Outbox& out) {
    for (const Action& action : out) {
      if (const Reply* reply = std::get_if<Reply>(&action)) {
        answered(reply->request);
      } else if (const Order* order = std::get_if<Order>(&action)) {
        answered(order->request);
        check_lease(order->key, order->gang);
        for (const std::string& key : order->more) {
          check_lease(key, order->gang);
        }
      } else if (const Publish* publish = std::get_if<Publish>(&action)) {
        answered(publish->request);
        for (const CommitPart& part : publish->parts) {
          publish_part(part, publish->gang);
        }
      }
    }
  }
  void check_lease(const std::string& key, std::int64_t gang) const {
    const StoredStage& stage = reactor_.stages().at(key).stored;
    FS_CHECK(stage.state == StageState::kRunning && stage.gang == gang, "a lease of nobody");
  }
  // As CampaignActions: the same stage twice in one commit is published once.
  void publish_part(const CommitPart& part, std::int64_t gang) {
    const proto::CommitRequest& commit = part.commit;
    if (part.reply || !reactor_.is_leased(commit.key(), commit.epoch(), gang)) {
      return;
    }
    proto::StageResult result = commit.result();
    take(reactor_.committed(commit.key(), result));
  }
  void answered(std::uint64_t request) {
    FS_CHECK(request <= request_ && ++answers_[request] == 1, "a call was answered twice");
  }

  Reactor reactor_;
  double now_ = 0;
  std::uint64_t request_ = 0;
  std::map<std::uint64_t, int> answers_;
};

}  // namespace
}  // namespace finescale

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  finescale::Session session;
  std::size_t at = 0;
  while (at + 2 <= size) {
    const std::size_t length = std::min<std::size_t>(data[at + 1], size - at - 2);
    session.say(data[at], std::string(finescale::fuzz_text(data + at + 2, length)));
    at += 2 + length;
  }
  return 0;
}
