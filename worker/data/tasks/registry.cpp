// SPDX-License-Identifier: Apache-2.0
#include "core/error.h"
#include "worker/data/tasks/task.h"

namespace finescale {

std::unique_ptr<Task> make_task(const config::Task& config) {
  switch (config.kind_case()) {
    case config::Task::kChain:
      return make_chain(config.chain());
    case config::Task::kEdit:
      return make_edit(config.edit());
    case config::Task::kNupa:
      return make_nupa(config.nupa());
    case config::Task::kRecall:
      return make_recall(config.recall());
    case config::Task::kFacts:
      return make_facts(config.facts());
    case config::Task::kGuard:
      return make_guard(config.guard());
    case config::Task::kCls:
      return make_cls(config.cls());
    case config::Task::kLangs:
      return make_langs(config.langs());
    case config::Task::KIND_NOT_SET:
      break;
  }
  throw Error(ErrorKind::kInternal, "a task without a kind: rules were not checked");
}

std::string task_name(const config::Task& config) {
  const auto* kind = config.GetReflection()->GetOneofFieldDescriptor(
      config, config.GetDescriptor()->oneof_decl(0));
  return kind == nullptr ? "" : kind->name();
}

const char* verdict_metric(Verdict verdict) noexcept {
  switch (verdict) {
    case Verdict::kRight:
      return "accuracy";
    case Verdict::kFormatError:
      return "format_error";
    case Verdict::kStepError:
      return "step_error";
    case Verdict::kAnswerError:
      break;
  }
  return "answer_error";
}

}  // namespace finescale
