// SPDX-License-Identifier: Apache-2.0
#include "configs/reference.h"

#include <cstdlib>
#include <functional>
#include <set>

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include "configs/schema/options.pb.h"
#include "configs/schema/stage.pb.h"
#include "configs/schema/sweep.pb.h"
#include "core/error.h"
#include "core/files.h"

namespace finescale {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using ::testing::HasSubstr;

// With FINESCALE_WRITE_GOLDEN set the file is written instead.
TEST(Reference, OptionsPageIsCurrent) {
  const std::string path = FINESCALE_SOURCE_DIR "/docs/options.md";
  if (std::getenv("FINESCALE_WRITE_GOLDEN") != nullptr) {
    write_file_atomically(path, reference_markdown());
  }
  EXPECT_TRUE(read_file(path) == reference_markdown())
      << "docs/options.md is out of date: finescale schema --markdown > docs/options.md";
}

void each_field(const Descriptor& type, std::set<const Descriptor*>& seen,
                const std::function<void(const FieldDescriptor&)>& visit) {
  if (!seen.insert(&type).second) {
    return;
  }
  for (int i = 0; i < type.field_count(); ++i) {
    visit(*type.field(i));
    if (type.field(i)->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      each_field(*type.field(i)->message_type(), seen, visit);
    }
  }
}

TEST(Schema, EveryFieldHasItsOneLineAndEveryMessageToo) {
  for (const Descriptor* root :
       {config::Sweep::descriptor(), config::Run::descriptor(), config::StageSpec::descriptor()}) {
    std::set<const Descriptor*> seen;
    each_field(*root, seen, [](const FieldDescriptor& field) {
      EXPECT_FALSE(field.options().GetExtension(config::doc).empty()) << field.full_name();
    });
  }
  std::set<const Descriptor*> seen;
  each_field(*config::Sweep::descriptor(), seen, [](const FieldDescriptor&) {});
  for (const Descriptor* type : seen) {
    EXPECT_FALSE(type->options().GetExtension(config::about).empty()) << type->name();
  }
}

// What YAML cannot fill must not be in the schema.
TEST(Schema, HoldsOnlyWhatYamlCanFill) {
  std::set<const Descriptor*> seen;
  each_field(*config::Sweep::descriptor(), seen, [](const FieldDescriptor& field) {
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_BOOL:
        EXPECT_FALSE(field.is_repeated()) << field.full_name();
        break;
      case FieldDescriptor::CPPTYPE_ENUM:
      case FieldDescriptor::CPPTYPE_INT32:
      case FieldDescriptor::CPPTYPE_INT64:
      case FieldDescriptor::CPPTYPE_DOUBLE:
      case FieldDescriptor::CPPTYPE_STRING:
      case FieldDescriptor::CPPTYPE_MESSAGE:
        break;
      default:
        ADD_FAILURE() << field.full_name();
    }
  });
}

TEST(Reference, FindsFieldsByPathByStageAndByName) {
  EXPECT_THAT(reference_text("train.learning_rate"),
              HasSubstr("train.learning_rate: peak learning rate\n"
                        "  type     number\n"
                        "  default  2e-4\n"
                        "  range    > 0 and <= 10\n"));
  EXPECT_THAT(reference_text("trial.stages[0].train.method.lora.rank"),
              HasSubstr("range    >= 1 and <= 4096"));
  EXPECT_THAT(reference_text("on_overlong"), HasSubstr("Data.on_overlong: what to do"));
  EXPECT_THAT(reference_text("on_overlong"), HasSubstr("error | truncate | drop"));
  EXPECT_THAT(reference_text("seed"), HasSubstr("seed: every seed"));
  EXPECT_THAT(reference_text("Lora"), HasSubstr("  rank "));
  EXPECT_THAT(reference_text("lora"), HasSubstr("  rank "));
  EXPECT_THAT(reference_text("decay"), HasSubstr("Wsd.decay"));
  EXPECT_THAT(reference_text(""), HasSubstr("  axes "));
}

TEST(Reference, NamesTheNearestField) {
  try {
    static_cast<void>(reference_text("train.learning_rte"));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfig);
    EXPECT_THAT(error.what(), HasSubstr("did you mean learning_rate?"));
  }
}

}  // namespace
}  // namespace finescale
