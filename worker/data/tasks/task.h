// SPDX-License-Identifier: Apache-2.0
// A procedural task: problems drawn from random numbers, and a verifier that needs nothing but the
// prompt. Immutable; any thread may call it.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "configs/schema/task.pb.h"
#include "core/random.h"

namespace finescale {

struct Problem {
  std::string prompt;
  std::string response;
  std::string split;  // problems of equal split are on one side of train and held_out
};

// What is wrong with an answer, the first that holds: it is not of the task's form, a step of it or
// on the way to it is wrong, or only the end is.
enum class Verdict { kRight, kFormatError, kStepError, kAnswerError };
// accuracy, format_error, step_error, answer_error: metrics are called so, and sum to 1.
[[nodiscard]] const char* verdict_metric(Verdict verdict) noexcept;

class Task {
 public:
  Task() = default;
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  virtual ~Task() = default;

  [[nodiscard]] virtual Problem draw(Random& random) const = 0;
  // Of a prompt that draw() made. An answer is right when it is, byte for byte, one that the task
  // accepts.
  [[nodiscard]] virtual Verdict verify(std::string_view prompt, std::string_view answer) const = 0;
  // A response of the task's form that verify() does not accept.
  [[nodiscard]] virtual std::string wrong_response(const Problem& problem,
                                                   Random& random) const = 0;
};

// Throws kConfig for settings that no problem fits.
[[nodiscard]] std::unique_ptr<Task> make_task(const config::Task& config);
[[nodiscard]] std::string task_name(const config::Task& config);  // chain

// Kinds; make_task() is the only caller.
[[nodiscard]] std::unique_ptr<Task> make_chain(const config::Chain& config);
[[nodiscard]] std::unique_ptr<Task> make_edit(const config::Edit& config);
[[nodiscard]] std::unique_ptr<Task> make_nupa(const config::Nupa& config);
[[nodiscard]] std::unique_ptr<Task> make_recall(const config::Recall& config);
[[nodiscard]] std::unique_ptr<Task> make_facts(const config::Facts& config);
[[nodiscard]] std::unique_ptr<Task> make_guard(const config::Guard& config);
[[nodiscard]] std::unique_ptr<Task> make_cls(const config::Cls& config);
[[nodiscard]] std::unique_ptr<Task> make_langs(const config::Langs& config);

}  // namespace finescale
