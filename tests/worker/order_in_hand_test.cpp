// SPDX-License-Identifier: Apache-2.0
// What a gang does with an order of several stages, and how a record is compared with a rerun.
#include "worker/order_in_hand.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "configs/canonical.h"
#include "configs/schema/stage.pb.h"
#include "worker/verify_resume.h"

namespace finescale {
namespace {

using ::testing::ElementsAre;

proto::NextReply stage(const std::string& key) {
  config::StageSpec spec;
  spec.set_key(key);
  spec.mutable_evaluate();
  proto::NextReply order;
  order.set_order(proto::NextReply::RUN);
  order.set_stage(canonical_text(spec));
  order.set_epoch(7);
  return order;
}

proto::NextReply three() {
  proto::NextReply order = stage("a");
  *order.add_more() = stage("b");
  *order.add_more() = stage("c");
  return order;
}

proto::CommitRequest done(const std::string& key) {
  proto::CommitRequest part;
  part.set_key(key);
  part.set_epoch(7);
  return part;
}

std::vector<std::string> held(const OrderInHand& order) {
  std::vector<std::string> keys;
  for (const proto::HeldLease& lease : order.leases()) {
    EXPECT_EQ(lease.epoch(), 7);
    keys.push_back(lease.key());
  }
  return keys;
}

TEST(OrderInHand, StagesComeOneByOne) {
  OrderInHand order;
  const proto::NextReply first = order.accept(three(), 100);
  EXPECT_EQ(first.more_size(), 0);
  EXPECT_TRUE(order.is_group());
  EXPECT_THAT(held(order), ElementsAre("b", "c"));
  order.finish(done("a"));
  EXPECT_EQ(order.begin_next(100.1)->stage(), stage("b").stage());
  EXPECT_THAT(held(order), ElementsAre("c", "a"));
  EXPECT_EQ(order.begin_next(100.2)->stage(), stage("c").stage());
  EXPECT_FALSE(order.begin_next(100.3));
  EXPECT_FALSE(order.accept(stage("d"), 101).has_thread_shares());
  EXPECT_FALSE(order.is_group());
}

TEST(OrderInHand, WhatWaitsTooLongIsGivenBackUnbegun) {
  OrderInHand order;
  (void)order.accept(three(), 100);
  EXPECT_FALSE(order.is_late(101));
  EXPECT_TRUE(order.is_late(103));
  order.finish(done("a"));
  EXPECT_FALSE(order.begin_next(103));
  ASSERT_EQ(order.finished().size(), 3U);
  const proto::CommitRequest commit = joined(order.finished());
  EXPECT_EQ(commit.key(), "a");
  ASSERT_EQ(commit.more_size(), 2);
  EXPECT_EQ(commit.more(1).key(), "c");
  EXPECT_EQ(commit.more(1).epoch(), 7);
  EXPECT_EQ(commit.more(1).result().outcome(), proto::StageResult::STOPPED);
  order.drop_finished(1);
  EXPECT_THAT(held(order), ElementsAre("b", "c"));
}

proto::StageResult rows(double loss_of_second) {
  proto::StageResult result;
  for (int step = 1; step <= 3; ++step) {
    proto::StepRow& row = *result.add_steps();
    row.set_step(step);
    row.set_loss(step == 2 ? loss_of_second : 1.0);
  }
  return result;
}

TEST(VerifyResume, OneBitIsFound) {
  ResumeCertificate same;
  compare_rows(rows(2), rows(2), 3, same);
  EXPECT_TRUE(same.is_bit_equal());
  EXPECT_EQ(same.rows, 3);
  ResumeCertificate other;
  compare_rows(rows(2), rows(std::nextafter(2, 3)), 3, other);
  EXPECT_EQ(other.differs_at, 2);
  EXPECT_FALSE(other.is_tolerance_equal());  // on the same machine
  other.may_differ = true;
  EXPECT_TRUE(other.is_tolerance_equal());
  ResumeCertificate before;
  compare_rows(rows(2), rows(5), 1, before);
  EXPECT_TRUE(before.is_bit_equal());
}

TEST(VerifyResume, AMissingRowIsADifference) {
  proto::StageResult shorter = rows(2);
  shorter.mutable_steps()->RemoveLast();
  ResumeCertificate certificate;
  compare_rows(rows(2), shorter, 3, certificate);
  EXPECT_EQ(certificate.differs_at, 3);
  certificate.may_differ = true;
  EXPECT_FALSE(certificate.is_tolerance_equal());
}

}  // namespace
}  // namespace finescale
