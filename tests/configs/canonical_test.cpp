// SPDX-License-Identifier: Apache-2.0
#include "configs/canonical.h"

#include <algorithm>
#include <functional>
#include <set>

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include "configs/schema/options.pb.h"
#include "core/error.h"
#include "core/hash.h"

namespace finescale {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using google::protobuf::util::MessageDifferencer;

config::StageSpec lora_stage() {
  config::StageSpec spec;
  config::TrainSpec& train = *spec.mutable_train();
  train.mutable_model()->set_artifact("00112233445566778899aabbccddeeff");
  train.mutable_tokenizer()->mutable_file()->set_content("ffeeddccbbaa99887766554433221100");
  train.mutable_data()->add_files()->set_content("0123456789abcdef0123456789abcdef");
  train.mutable_train()->mutable_method()->mutable_lora()->set_rank(4);
  train.mutable_train()->mutable_objective()->mutable_sft();
  train.mutable_train()->mutable_schedule()->mutable_wsd();
  train.mutable_train()->mutable_batch()->set_tokens(4096);
  train.mutable_train()->set_learning_rate(1e-3);
  train.mutable_train()->add_betas(0.9);
  train.mutable_train()->add_betas(0.999);
  return spec;
}

config::StageSpec evaluate_stage() {
  config::StageSpec spec;
  config::EvaluateSpec& evaluate = *spec.mutable_evaluate();
  evaluate.mutable_model()->set_artifact("00112233445566778899aabbccddeeff");
  evaluate.mutable_tokenizer()->set_artifact("ffeeddccbbaa99887766554433221100");
  config::DatasetRef& set = *evaluate.add_sets();
  set.set_name("held_out");
  set.add_files()->set_content("0123456789abcdef0123456789abcdef");
  evaluate.mutable_evaluate()->add_metrics("loss");
  return spec;
}

config::StageSpec prepare_stage() {
  config::StageSpec spec;
  spec.mutable_prepare()->mutable_tokenizer()->set_vocab_size(512);
  spec.mutable_prepare()->mutable_data()->add_files()->set_content(
      "0123456789abcdef0123456789abcdef");
  return spec;
}

// Keys name artifacts on users' disks: they may change only together with the numbers, by raising
// the kind's revision.
TEST(StageKey, GoldenKeys) {
  EXPECT_EQ(hash_hex(""), "99aa06d3014798d86001c324468d497f");  // published value of XXH3-128
  EXPECT_EQ(stage_key(prepare_stage()), "f8db36bd5985cd8a47a38ceff42218e2");
  EXPECT_EQ(stage_key(lora_stage()), "97565f307196fc0a3a3af2ad04769cc4");
  EXPECT_EQ(stage_key(evaluate_stage()), "f1f6596b485fe5e7515a7580b810c059");
}

TEST(StageKey, GoldenText) {
  EXPECT_EQ(key_text(lora_stage()), R"(train {
  model {
    artifact: "00112233445566778899aabbccddeeff"
  }
  tokenizer {
    file {
      content: "ffeeddccbbaa99887766554433221100"
    }
  }
  data {
    files {
      content: "0123456789abcdef0123456789abcdef"
    }
  }
  train {
    revision: 2
    method {
      lora {
        rank: 4
      }
    }
    objective {
      sft {
      }
    }
    learning_rate: 0.001
    batch {
      tokens: 4096
    }
    schedule {
      wsd {
      }
    }
    betas: 0.9
    betas: 0.999
  }
}
)");
}

// Sets every singular scalar of the message that has an explicit default to that default.
void write_defaults(Message& message) {
  const Reflection& r = *message.GetReflection();
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor& field = *message.GetDescriptor()->field(i);
    if (field.is_repeated()) {
      continue;
    }
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      if (r.HasField(message, &field)) {
        write_defaults(*r.MutableMessage(&message, &field));
      }
      continue;
    }
    if (!field.has_default_value() || r.HasField(message, &field)) {
      continue;
    }
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_BOOL:
        r.SetBool(&message, &field, field.default_value_bool());
        break;
      case FieldDescriptor::CPPTYPE_INT32:
        r.SetInt32(&message, &field, field.default_value_int32());
        break;
      case FieldDescriptor::CPPTYPE_INT64:
        r.SetInt64(&message, &field, field.default_value_int64());
        break;
      case FieldDescriptor::CPPTYPE_DOUBLE:
        r.SetDouble(&message, &field, field.default_value_double());
        break;
      case FieldDescriptor::CPPTYPE_ENUM:
        r.SetEnum(&message, &field, field.default_value_enum());
        break;
      case FieldDescriptor::CPPTYPE_STRING:
        r.SetString(&message, &field, field.default_value_string());
        break;
      default:
        break;
    }
  }
}

TEST(StageKey, DefaultsWrittenOutChangeNothing) {
  for (const config::StageSpec& spec : {prepare_stage(), lora_stage(), evaluate_stage()}) {
    config::StageSpec written = spec;
    write_defaults(written);
    EXPECT_FALSE(MessageDifferencer::Equals(spec, written));
    EXPECT_EQ(stage_key(written), stage_key(spec));
    EXPECT_EQ(canonical_text(written), canonical_text(spec));
  }
}

TEST(StageKey, AnEmptyMessageIsAnAbsentOne) {
  config::StageSpec spec = lora_stage();
  spec.mutable_train()->mutable_rules();
  spec.mutable_train()->mutable_train()->mutable_warmup();
  EXPECT_EQ(stage_key(spec), stage_key(lora_stage()));
}

TEST(StageKey, PlacesAndLoggingDoNotMatter) {
  config::StageSpec spec = lora_stage();
  spec.set_key("anything");
  spec.set_label("other");
  spec.mutable_mesh()->set_data(4);
  spec.mutable_mesh()->set_shard(2);
  spec.mutable_mesh()->set_pipeline(2);
  spec.mutable_mesh()->set_tensor(1);
  spec.mutable_mesh()->set_zero(3);
  spec.mutable_mesh()->set_recompute(config::RECOMPUTE_FULL);
  spec.mutable_mesh()->set_overlap(config::OVERLAPPING_ON);
  spec.add_inputs("00112233445566778899aabbccddeeff");
  spec.mutable_train()->mutable_data()->mutable_files(0)->set_path("/somewhere");
  spec.mutable_train()->mutable_train()->set_log_every(50);
  spec.mutable_train()->mutable_train()->set_save_every(7);
  EXPECT_EQ(stage_key(spec), stage_key(lora_stage()));
}

TEST(StageKey, TensorSizeAndTheOptimizersStateMatter) {
  config::StageSpec tensor = lora_stage();
  tensor.mutable_mesh()->set_tensor(2);
  config::StageSpec state = lora_stage();
  state.mutable_train()->mutable_train()->set_optimizer_state(config::OPTIMIZER_STATE_BF16);
  const std::set<std::string> keys = {stage_key(lora_stage()), stage_key(tensor), stage_key(state)};
  EXPECT_EQ(keys.size(), 3U);
}

// Changes one scalar field to another value than it has.
void change(Message& message, const FieldDescriptor& field) {
  const Reflection& r = *message.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return r.SetBool(&message, &field, !r.GetBool(message, &field));
    case FieldDescriptor::CPPTYPE_INT32:
      return r.SetInt32(&message, &field, r.GetInt32(message, &field) + 1);
    case FieldDescriptor::CPPTYPE_INT64:
      return r.SetInt64(&message, &field, r.GetInt64(message, &field) + 1);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return r.SetDouble(&message, &field, r.GetDouble(message, &field) + 0.125);
    case FieldDescriptor::CPPTYPE_ENUM: {
      const auto& type = *field.enum_type();
      const int index = r.GetEnum(message, &field)->index();
      return r.SetEnum(&message, &field, type.value((index + 1) % type.value_count()));
    }
    case FieldDescriptor::CPPTYPE_STRING:
      return r.SetString(&message, &field, r.GetString(message, &field) + "x");
    default:
      FAIL() << field.full_name();
  }
}

// Every singular scalar field below `at`, a case of a oneof included when it is the chosen one.
void each_field_changes_the_key(const config::StageSpec& spec, const Message& at,
                                const std::function<Message&(config::StageSpec&)>& reach,
                                std::set<std::string>& keys) {
  const Reflection& r = *at.GetReflection();
  for (int i = 0; i < at.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor& field = *at.GetDescriptor()->field(i);
    if (field.is_repeated() || field.options().GetExtension(config::not_in_key) ||
        (field.containing_oneof() != nullptr && !r.HasField(at, &field))) {
      continue;
    }
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      each_field_changes_the_key(
          spec, r.GetMessage(at, &field),
          [&](config::StageSpec& copy) -> Message& {
            Message& parent = reach(copy);
            return *parent.GetReflection()->MutableMessage(&parent, &field);
          },
          keys);
      continue;
    }
    config::StageSpec copy = spec;
    change(reach(copy), field);
    EXPECT_TRUE(keys.insert(stage_key(copy)).second) << field.full_name();
  }
}

TEST(StageKey, EveryOtherFieldMatters) {
  for (const config::StageSpec& spec : {prepare_stage(), lora_stage(), evaluate_stage()}) {
    std::set<std::string> keys = {stage_key(spec)};
    each_field_changes_the_key(
        spec, spec, [](config::StageSpec& copy) -> Message& { return copy; }, keys);
    EXPECT_GT(keys.size(), 4U);
  }
}

TEST(StageKey, TheChosenKindMatters) {
  config::StageSpec full = lora_stage();
  full.mutable_train()->mutable_train()->mutable_method()->mutable_full();
  config::StageSpec constant = lora_stage();
  constant.mutable_train()->mutable_train()->mutable_schedule()->mutable_constant();
  config::StageSpec linear = lora_stage();
  linear.mutable_train()->mutable_train()->mutable_schedule()->mutable_linear();
  const std::set<std::string> keys = {stage_key(lora_stage()), stage_key(full), stage_key(constant),
                                      stage_key(linear)};
  EXPECT_EQ(keys.size(), 4U);
}

TEST(CanonicalText, DefaultsAreWrittenOutInNumberOrder) {
  config::Batch batch;
  EXPECT_EQ(canonical_text(batch), "");
  config::Wsd wsd;
  EXPECT_EQ(canonical_text(wsd), "decay: 0.2\nfinal_ratio: 0\n");
  config::Stage stage;  // fields are numbered name, from, train, evaluate
  stage.mutable_evaluate()->set_samples(1);
  stage.add_from("a");
  stage.add_from("b");
  stage.set_name("z");
  EXPECT_EQ(canonical_text(stage),
            "name: \"z\"\nfrom: \"a\"\nfrom: \"b\"\nevaluate {\n  max_new_tokens: 64\n"
            "  samples: 1\n}\n");
}

TEST(CanonicalText, DoublesAreTheirShortestText) {
  config::Geometric range;
  range.set_from(0.1);
  range.set_to(1e-300);
  EXPECT_EQ(canonical_text(range), "from: 0.1\nto: 1e-300\n");
  range.set_from(1.0 / 3);
  range.set_to(123456789.125);
  config::Geometric back;
  parse_canonical(canonical_text(range), back);
  EXPECT_EQ(back.from(), 1.0 / 3);
  EXPECT_EQ(back.to(), 123456789.125);
}

TEST(CanonicalText, EveryByteOfAStringSurvives) {
  std::string all;
  for (int c = 0; c < 128; ++c) {
    all += static_cast<char>(c);
  }
  all += "\xc3\xa9 \xe2\x82\xac";  // é €
  config::FileRef file;
  file.set_path(all);
  const std::string text = canonical_text(file);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  config::FileRef back;
  parse_canonical(text, back);
  EXPECT_EQ(back.path(), all);
}

TEST(CanonicalText, ReadsBackToTheSameText) {
  for (const config::StageSpec& spec : {prepare_stage(), lora_stage(), evaluate_stage()}) {
    config::StageSpec back;
    parse_canonical(canonical_text(spec), back);
    EXPECT_EQ(canonical_text(back), canonical_text(spec));
    EXPECT_EQ(stage_key(back), stage_key(spec));
  }
}

TEST(CanonicalText, ParsingReplacesWhatWasThere) {
  config::StageSpec back = evaluate_stage();
  parse_canonical(canonical_text(lora_stage()), back);
  EXPECT_EQ(stage_key(back), stage_key(lora_stage()));
}

TEST(CanonicalText, DamagedTextIsAProtocolError) {
  for (const char* text : {"train {", "nonsense: 1", "label: 3", "label: \"a\" label: \"b\""}) {
    config::StageSpec spec;
    try {
      parse_canonical(text, spec);
      FAIL() << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kProtocol) << text;
    }
  }
}

}  // namespace
}  // namespace finescale
