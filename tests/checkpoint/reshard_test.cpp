// SPDX-License-Identifier: Apache-2.0
// Pieces of tensors: written once each, read by any other partition, checked block by block.
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include <gtest/gtest.h>

#include "checkpoint/checkpoint.h"
#include "checkpoint/slabs.h"
#include "checkpoint/stored_file.h"
#include "comm/local/local_group.h"
#include "core/error.h"
#include "core/files.h"
#include "tests/checkpoint/partition_fixture.h"

namespace finescale {
namespace {

class ReshardTest : public testing::Test {
 protected:
  std::string directory_ = testing::TempDir() + "finescale_reshard_" + std::to_string(::getpid());
  std::string path_ = directory_ + "/step-1.h5";
  std::unique_ptr<Group> single_ = make_single_group();
  void SetUp() override { make_directories(directory_); }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  [[nodiscard]] StoredFile stored() const {
    CheckpointState state;
    return load_structure(path_, state);
  }
  void flip_byte(std::int64_t offset) const {
    std::fstream file(path_, std::ios::binary | std::ios::in | std::ios::out);
    file.seekg(offset);
    const int byte = file.get();
    file.seekp(offset);
    file.put(static_cast<char>(byte ^ 1));
  }
  // Elements [begin, end) of /model/embed by one rank; the error's text, empty when there is none.
  std::string read_range(std::int64_t begin, std::int64_t end) {
    Pieces pieces;
    pieces.add(0, whole_of(wholes()[0].shape), begin, end, DType::kF32);
    try {
      CheckpointReader(*single_, path_).read(pieces.list());
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kCheckpoint);
      EXPECT_EQ(error.where(), path_);
      return error.message();
    }
    EXPECT_EQ(pieces.num_wrong(), 0);
    return {};
  }
};

std::string failure_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInternal);
    return error.message();
  }
  return {};
}

void append_elements(std::vector<std::int64_t>& elements, const Shape& shape,
                     const LocalPart& slab) {
  const Runs runs(shape, slab);
  for (std::int64_t number = 0; number < runs.count(); ++number) {
    for (std::int64_t i = 0; i < runs.length(); ++i) {
      elements.push_back(runs.first(number) + i);
      EXPECT_EQ(runs.behind(elements.back()), number);
    }
    EXPECT_EQ(runs.behind(elements.back() + 1), number + 1);
  }
}

TEST(Slabs, OfEveryRangeAreItsElementsInOrder) {
  const Shape shape{3, 4, 2, 5};
  const LocalPart part{{1, 0, 1, 1}, {2, 3, 1, 3}};
  std::vector<std::int64_t> elements;
  append_elements(elements, shape, part);
  ASSERT_EQ(elements.size(), 18U);
  EXPECT_EQ(elements[3], 1 * 40 + 1 * 10 + 1 * 5 + 1);
  for (std::size_t begin = 0; begin <= elements.size(); ++begin) {
    for (std::size_t end = begin; end <= elements.size(); ++end) {
      const auto slabs =
          hyperslabs_of(part, static_cast<std::int64_t>(begin), static_cast<std::int64_t>(end));
      EXPECT_LE(slabs.size(), 7U);
      std::vector<std::int64_t> found;
      for (const LocalPart& slab : slabs) {
        append_elements(found, shape, slab);
      }
      ASSERT_EQ(found,
                std::vector<std::int64_t>(elements.begin() + static_cast<std::ptrdiff_t>(begin),
                                          elements.begin() + static_cast<std::ptrdiff_t>(end)));
    }
  }
}

TEST(Slabs, OfAMatrixAreAtMostThree) {
  EXPECT_EQ(hyperslabs_of(whole_of({8, 10}), 3, 77).size(), 3U);
  EXPECT_EQ(hyperslabs_of(whole_of({8, 10}), 10, 30).size(), 1U);
  EXPECT_EQ(hyperslabs_of(whole_of({8, 10}), 12, 18).size(), 1U);
  EXPECT_TRUE(hyperslabs_of(whole_of({8, 10}), 12, 12).empty());
  EXPECT_TRUE(hyperslabs_of({{0, 0}, {8, 0}}, 0, 0).empty());
}

TEST_F(ReshardTest, AnyPartitionIsReadByAnyOther) {
  unsigned seed = 1;
  std::string first;
  for (const int writers : {1, 2, 3, 4}) {
    for (int repeat = 0; repeat < 3; ++repeat) {
      run_local_ranks(writers, [&](Group& group) { write_dealt(group, path_, seed); });
      const std::string content = read_file(path_);
      first = first.empty() ? content : first;
      EXPECT_TRUE(content == first) << "the file depends on who wrote it";
      for (const int readers : {1, 2, 4}) {
        ++seed;
        run_local_ranks(readers, [&](Group& group) {
          EXPECT_EQ(num_wrong_dealt(group, path_, seed), 0)
              << writers << " wrote, " << readers << " read, seed " << seed;
        });
      }
    }
  }
  CheckpointReader(*single_, path_).verify();
}

TEST_F(ReshardTest, EveryElementIsWrittenOnceOrTheTensorIsNamed) {
  const auto write = [&](std::int64_t end_of_0, std::int64_t begin_of_1) {
    return failure_of([&] {
      run_local_ranks(2, [&](Group& group) {
        Pieces pieces;
        const LocalPart whole = whole_of(wholes()[0].shape);
        const std::int64_t total = whole.shape.num_elements();
        pieces.add(0, whole, group.rank() == 0 ? 0 : begin_of_1,
                   group.rank() == 0 ? end_of_0 : total, DType::kF32);
        const std::string text =
            failure_of([&] { write_checkpoint(group, path_, example_state(), pieces.list()); });
        EXPECT_EQ(group.sum(text.empty() ? 0 : 1) % 2, 0) << "ranks disagree";
        if (!text.empty()) {
          throw Error(ErrorKind::kInternal, text);
        }
      });
    });
  };
  EXPECT_EQ(write(1000, 1000), "");
  const std::string twice = write(1001, 1000);
  EXPECT_NE(twice.find("/model/embed"), std::string::npos) << twice;
  EXPECT_NE(twice.find("0 and 1"), std::string::npos) << twice;
  const std::string never = write(1000, 1007);
  EXPECT_NE(never.find("/model/embed: 7 of 350700"), std::string::npos) << never;
  EXPECT_NE(write(0, 350700).find("/model/embed is written by no rank"), std::string::npos);
  EXPECT_EQ(CheckpointReader(*single_, path_).state().step, 7);  // the one before is still there
}

TEST_F(ReshardTest, RanksThatDisagreeAreNamed) {
  const std::string text = failure_of([&] {
    run_local_ranks(2, [&](Group& group) {
      Pieces pieces;
      pieces.add(1, whole_of(wholes()[1].shape), 0, 513,
                 group.rank() == 0 ? DType::kF32 : DType::kF64);
      pieces.list()[0].writes = group.rank() == 0;
      write_checkpoint(group, path_, example_state(), pieces.list());
    });
  });
  EXPECT_NE(text.find("/model/norm: ranks 0 and 1 disagree"), std::string::npos) << text;
}

TEST_F(ReshardTest, ARangeOutsideOfThePartIsRefused) {
  Pieces pieces;
  pieces.add(1, whole_of(wholes()[1].shape), 500, 514, DType::kF32);
  EXPECT_NE(failure_of([&] {
              write_checkpoint(*single_, path_, example_state(), pieces.list());
            }).find("outside of the part"),
            std::string::npos);
}

TEST_F(ReshardTest, AFlippedBitIsFoundByWhoReadsAnyPartOfItsBlock) {
  write_dealt(*single_, path_, 1);
  constexpr std::int64_t kBlock = kHashBlockBytes / 4;
  flip_byte(stored().find("/model/embed")->offset + 4 * (kBlock + 1000));
  EXPECT_EQ(read_range(0, kBlock), "");
  EXPECT_EQ(read_range(10, 20), "");
  for (const auto& [begin, end] : {std::pair{kBlock + 1000, kBlock + 1001},
                                   {kBlock, kBlock + 10},
                                   {kBlock - 10, kBlock + 1},
                                   {std::int64_t{0}, std::int64_t{350700}}}) {
    EXPECT_NE(read_range(begin, end).find("/model/embed does not match its hash"),
              std::string::npos)
        << begin;
  }
  int errors = 0;
  run_local_ranks(4, [&](Group& group) {  // by columns: every rank reads a part of every block
    Pieces pieces;
    LocalPart part{{0, 100 * group.rank()}, {700, 100}};
    pieces.add(0, part, 0, part.shape.num_elements(), DType::kF32);
    bool found = false;
    try {
      CheckpointReader(group, path_).read(pieces.list());
    } catch (const Error& error) {
      found = error.kind() == ErrorKind::kCheckpoint;
    }
    const std::int64_t all = group.sum(found ? 1 : 0);
    errors = group.rank() == 0 ? static_cast<int>(all) : errors;
  });
  EXPECT_EQ(errors, 4);
  EXPECT_THROW(CheckpointReader(*single_, path_).verify(), Error);
}

TEST_F(ReshardTest, ADamagedHashIsFound) {
  write_dealt(*single_, path_, 1);
  flip_byte(stored().hashes_offset);
  EXPECT_THROW(CheckpointReader(*single_, path_).verify(), Error);
}

TEST_F(ReshardTest, ATruncatedFileIsDamaged) {
  write_dealt(*single_, path_, 1);
  const CheckpointReader before(*single_, path_);
  const auto size = static_cast<std::int64_t>(std::filesystem::file_size(path_));
  for (const std::int64_t left : {size - 1, size / 2, std::int64_t{100}, std::int64_t{0}}) {
    std::filesystem::resize_file(path_, static_cast<std::uintmax_t>(left));
    EXPECT_NE(read_range(0, 350700), "");
    EXPECT_FALSE(newest_checkpoint(*single_, {directory_}, nullptr).has_value());
  }
}

TEST_F(ReshardTest, AFileThatShrinksWhileOpenIsDamaged) {
  write_dealt(*single_, path_, 1);
  CheckpointReader reader(*single_, path_);
  std::filesystem::resize_file(path_, 5000);
  Pieces pieces;
  deal(pieces, 1, 0, 1, true);
  try {
    reader.read(pieces.list());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kCheckpoint);
    EXPECT_EQ(error.message(), "the file is truncated");
  }
}

// Written by the version before hashes of blocks.
TEST_F(ReshardTest, FormatVersion1IsRead) {
  std::filesystem::copy_file(
      std::string(FINESCALE_SOURCE_DIR) + "/tests/checkpoint/format_version_1.h5", path_);
  for (const int readers : {1, 3}) {
    run_local_ranks(readers, [&](Group& group) {
      CheckpointReader reader(group, path_);
      EXPECT_EQ(reader.state().step, 8);
      EXPECT_EQ(reader.state().numbers, example_state().numbers);
      Tensors tensors;
      add_examples(tensors, group.rank(), group.size());
      tensors.clear();
      reader.read(tensors.list());
      EXPECT_EQ(tensors.num_wrong(), 0);
      reader.verify();
    });
  }
  EXPECT_EQ(newest_checkpoint(*single_, {directory_}, nullptr), path_);
  flip_byte(stored().find("/model/rows")->offset + 5);
  Tensors tensors;
  add_examples(tensors, 0, 1);
  EXPECT_THROW(CheckpointReader(*single_, path_).read(tensors.list()), Error);
  EXPECT_FALSE(newest_checkpoint(*single_, {directory_}, nullptr).has_value());
}

}  // namespace
}  // namespace finescale
