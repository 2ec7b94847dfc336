// SPDX-License-Identifier: Apache-2.0
// Files of every format and form: what is detected, what is refused and where.
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/files.h"
#include "core/random.h"
#include "worker/data/dataset.h"
#include "worker/data/reader.h"

namespace finescale {
namespace {

class Formats : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "finescale_formats_" + std::to_string(::getpid()) + "_" +
                 testing::UnitTest::GetInstance()->current_test_info()->name();
    make_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  config::DatasetRef file(const std::string& name, const std::string& bytes) {
    std::ofstream(directory_ + "/" + name, std::ios::binary) << bytes;
    config::DatasetRef ref;
    ref.add_files()->set_path(directory_ + "/" + name);
    return ref;
  }
  std::vector<RawExample> read(const config::DatasetRef& ref, bool skip = false) {
    std::vector<RawExample> all;
    where_.clear();
    summary_ = read_examples(ref, skip ? config::ON_BAD_EXAMPLE_SKIP : config::ON_BAD_EXAMPLE_ERROR,
                             [&](RawExample&& example, const std::string& where) {
                               all.push_back(std::move(example));
                               where_.push_back(where.substr(where.find_last_of('/') + 1));
                             });
    return all;
  }
  std::string message_of(const config::DatasetRef& ref) {
    try {
      (void)read(ref);
    } catch (const Error& error) {
      kind_ = error.kind();
      return error.where().substr(error.where().find_last_of('/') + 1) + ": " + error.message();
    }
    return "no error";
  }

  std::string directory_;
  std::vector<std::string> where_;
  ReadSummary summary_;
  ErrorKind kind_ = ErrorKind::kInternal;
};

TEST_F(Formats, JsonlOfEveryForm) {
  const auto all =
      read(file("a.jsonl",
                "\xEF\xBB\xBF{\"text\": \"t\"}\r\n\n"
                "{\"prompt\": \"p\", \"response\": \"r\"}\n"
                "{\"messages\": [{\"role\": \"user\", \"content\": \"u\"}, {\"role\": "
                "\"assistant\", \"content\": \"a\"}], \"tools\": [{\"b\": 1, \"a\": 2}]}\n"
                "{\"prompt\": \"p\", \"chosen\": \"c\", \"rejected\": \"r\"}\n"));
  ASSERT_EQ(all.size(), 4U);
  EXPECT_EQ(all[0].response, "t");
  EXPECT_EQ(all[1].prompt, "p");
  EXPECT_EQ(all[2].messages.size(), 2U);
  EXPECT_EQ(all[2].tools.dump(), R"([{"b":1,"a":2}])");
  EXPECT_EQ(all[3].form, ExampleForm::kPreference);
  EXPECT_EQ(all[3].rejected, "r");
  EXPECT_EQ(where_, (std::vector<std::string>{"a.jsonl:1", "a.jsonl:3", "a.jsonl:4", "a.jsonl:5"}));
  EXPECT_EQ(
      describe(summary_.forms),
      "1 of {text}, 1 of {prompt, response}, 1 of {messages}, 1 of {prompt, chosen, rejected}");
}

TEST_F(Formats, BadRecordsAreCountedWithTheFirst) {
  const auto all = read(file("a.jsonl",
                             "{\"text\": \"t\"}\n{\"prompt\": \"p\"}\n[1]\n{\"text\": \"\"}\nx\n"
                             "{\"messages\": [{\"role\": \"user\", \"content\": \"u\"}]}\n"
                             "{\"messages\": [{\"content\": \"u\"}]}\n{\"messages\": 3}\n"
                             "{\"prompt\": \"p\", \"chosen\": \"c\", \"rejected\": \"c\"}\n"),
                        true);
  EXPECT_EQ(all.size(), 1U);
  EXPECT_EQ(summary_.skipped, 8);
  EXPECT_NE(summary_.first_bad.find("a.jsonl:2: \"response\" is missing"), std::string::npos);
}

TEST_F(Formats, JsonArray) {
  const auto all =
      read(file("a.json", " [\n{\"text\": \"a\"},\n{\"prompt\": \"[{\", \"response\": \"b\"}]"));
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[1].prompt, "[{");
  EXPECT_EQ(where_[1], "a.json:element 2");
  EXPECT_EQ(message_of(file("b.json", "[{\"text\": \"a\"}, 7]")),
            "b.json:element 2: is number, must be an object");
  EXPECT_NE(message_of(file("c.json", "[{\"text\": \"a\"}, {")).find("not valid JSON"),
            std::string::npos);
  EXPECT_EQ(message_of(file("d.json", "\"x\"")), "d.json:element 1: is no list of records");
  EXPECT_EQ(read(file("lines.json", "{\"text\": \"a\"}\n{\"text\": \"b\"}\n")).size(), 2U);
  config::DatasetRef limited = file("e.json", "[{\"text\": \"a\"}, {\"text\": \"b\"}, {");
  limited.set_limit(1);
  EXPECT_EQ(read(limited).size(), 1U);
}

TEST_F(Formats, CsvByTheRfc) {
  const auto all = read(file("a.csv",
                             "\xEF\xBB\xBFid,prompt,response\r\n"
                             "1,\"a, \"\"b\"\"\nc\",r1\r\n"
                             "\n2,,r2\n3,p3,\"\xC3\xA9\""));
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[0].prompt, "a, \"b\"\nc");
  EXPECT_EQ(all[1].prompt, "");
  EXPECT_EQ(all[2].response, "\xC3\xA9");
  EXPECT_EQ(where_, (std::vector<std::string>{"a.csv:2", "a.csv:5", "a.csv:6"}));
  EXPECT_EQ(read(file("b.csv", "text\n\"\"\"\"\n")).at(0).response, "\"");
  EXPECT_EQ(read(file("c.csv", "prompt,chosen,rejected\np,c,r\n")).at(0).form,
            ExampleForm::kPreference);
}

TEST_F(Formats, CsvFaultsNameTheLine) {
  EXPECT_EQ(message_of(file("a.csv", "a,b\n1,2\n")), "a.csv:1: the columns are a, b");
  EXPECT_EQ(message_of(file("a.csv", "text,text\n1,2\n")), "a.csv:1: two columns are called text");
  EXPECT_EQ(message_of(file("a.csv", "text,b\n1,2\n3\n")), "a.csv:3: has 1 fields, the header 2");
  EXPECT_EQ(message_of(file("a.csv", "text\n\"open\nline\n")),
            "a.csv:2: a quoted field has no closing quote");
  EXPECT_EQ(message_of(file("a.csv", "text\n\"a\"b\n")), "a.csv:2: text behind a closing quote");
  EXPECT_EQ(message_of(file("a.csv", "text\na\"b\n")),
            "a.csv:2: a quote inside a field that does not begin with one");
  const auto all = read(file("b.csv", "text\n\"a\"b\ngood\na\"\n"), true);
  EXPECT_EQ(all.size(), 1U);
  EXPECT_EQ(summary_.skipped, 2);
}

TEST_F(Formats, PlainTextByParagraphOrWhole) {
  const std::string text = "\none\ntwo\n\n \n\nthree\r\n";
  auto all = read(file("a.txt", text));
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].response, "one\ntwo");
  EXPECT_EQ(where_, (std::vector<std::string>{"a.txt:2", "a.txt:7"}));
  EXPECT_EQ(summary_.formats, "paragraphs of plain text");
  config::DatasetRef whole = file("a.txt", text);
  whole.set_text_unit(config::TEXT_UNIT_FILE);
  all = read(whole);
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].response, "\none\ntwo\n\n \n\nthree\r");
  EXPECT_EQ(read(file("b.txt", " \n\n")).size(), 0U);
}

TEST_F(Formats, ParquetIsReadOrTheConversionIsSaid) {
  const std::string message = message_of(file("a.parquet", "PAR1"));
  EXPECT_TRUE(kind_ == ErrorKind::kResource || message.find("Parquet") != std::string::npos)
      << message;
}

// The files of tests/data/parquet/make_fixtures.py.
TEST_F(Formats, ParquetGivesTheRowsOfItsWriter) {
  const std::string fixtures = std::string(FINESCALE_SOURCE_DIR) + "/tests/data/parquet/";
  config::DatasetRef ref;
  ref.add_files()->set_path(fixtures + "pairs.parquet");
  if (message_of(ref).find("no Apache Arrow") != std::string::npos) {
    GTEST_SKIP() << "this build has no Apache Arrow";
  }
  std::vector<RawExample> all = read(ref);
  ASSERT_EQ(all.size(), 300U);  // of three row groups
  EXPECT_EQ(all[7].prompt, "what is 7 + 7?");
  EXPECT_EQ(all[299].response, "\u00e9 598");
  EXPECT_EQ(where_[299], "pairs.parquet:row 300");
  ref.mutable_files(0)->set_path(fixtures + "messages.parquet");
  all = read(ref);
  ASSERT_EQ(all.size(), 2U);
  ASSERT_EQ(all[1].messages.size(), 3U);
  EXPECT_EQ(all[1].messages[2]["content"], "four");
}

TEST_F(Formats, TheGivenFormatWinsOverTheName) {
  config::DatasetRef ref = file("a.txt", "{\"text\": \"t\"}\n");
  ref.set_format(config::DATA_FORMAT_JSONL);
  EXPECT_EQ(read(ref).at(0).response, "t");
}

// Mutated files end in examples or in an error of the user's, never elsewhere.
TEST_F(Formats, MutatedFilesNeverDoHarm) {
  const std::vector<std::pair<std::string, std::string>> seeds = {
      {"f.jsonl",
       "{\"prompt\": \"p\\u00e9\", \"response\": \"r\"}\n{\"messages\": [{\"role\": "
       "\"assistant\", \"content\": \"a\"}], \"tools\": []}\n"},
      {"f.json",
       "[{\"text\": \"a\"}, {\"prompt\": \"p\", \"chosen\": \"c\", \"rejected\": \"r\"}]"},
      {"f.csv", "prompt,response\n\"a,\"\"b\",c\r\n1,2\n"},
      {"f.txt", "one\n\ntwo\n"}};
  const std::string alphabet("{}[]\",:\\\n\r\0 atu0\xC3\xFF", 18);
  Random random(7, Purpose::kTest);
  for (int round = 0; round < 4000; ++round) {
    const auto& [name, seed] = seeds[random.below(seeds.size())];
    std::string bytes = seed;
    for (std::uint64_t edits = 1 + random.below(6); edits > 0 && !bytes.empty(); --edits) {
      const std::size_t at = random.below(bytes.size());
      switch (random.below(4)) {
        case 0:
          bytes[at] = alphabet[random.below(alphabet.size())];
          break;
        case 1:
          bytes.erase(at, 1 + random.below(5));
          break;
        case 2:
          bytes.insert(at, 1, alphabet[random.below(alphabet.size())]);
          break;
        default:
          bytes.insert(at, bytes.substr(random.below(bytes.size()), random.below(12)));
      }
    }
    try {
      (void)read(file(name, bytes), random.below(2) == 0);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kData) << describe(error);
    }
  }
}

}  // namespace
}  // namespace finescale
