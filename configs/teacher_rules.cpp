// SPDX-License-Identifier: Apache-2.0
#include "configs/teacher_rules.h"

#include <optional>

#include "configs/decoder.h"
#include "configs/model_directory.h"
#include "configs/stage_links.h"
#include "core/error.h"

namespace finescale {

namespace {

// Nothing: only the weights' file knows.
std::optional<DecoderShape> shape_at(const std::string& path) {
  const ModelDirectory model = find_model(path);
  if (model.kind != ModelKind::kHuggingFace) {
    return std::nullopt;
  }
  return decoder_shape(read_model_config(model.files.front()));
}

std::optional<DecoderShape> shape_of(const config::Base& base) {
  return base.has_model() ? shape_at(base.model())
                          : std::optional(decoder_shape(base.architecture()));
}

}  // namespace

void check_teacher_files(const config::Sweep& sweep, const config::Train& train,
                         const std::string& path, const RuleReport& report) {
  const std::string& teacher = train.objective().distill().teacher();
  if (!is_model_path(teacher)) {
    return;
  }
  const std::string field = path + ".objective.distill.teacher";
  std::optional<DecoderShape> shape;
  try {
    shape = shape_at(teacher);
  } catch (const Error& error) {
    report.fail(field, field + ": " + error.where() + " " + error.message(), error.hint());
  }
  const std::optional<DecoderShape> own = shape_of(sweep.base());
  if (!shape || !own) {
    return;  // the worker looks
  }
  report.require(shape->vocab_size == own->vocab_size, field,
                 field + " has " + std::to_string(shape->vocab_size) + " tokens, the model has " +
                     std::to_string(own->vocab_size),
                 "a teacher and its pupil have one vocabulary");
  report.require(sweep.data().max_length() <= shape->max_positions, field,
                 field + " has " + std::to_string(shape->max_positions) +
                     " positions, data.max_length is " + std::to_string(sweep.data().max_length()));
}

}  // namespace finescale
