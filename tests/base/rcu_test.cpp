// Epochs: a grace period is over exactly when every reader that was there has been quiescent.
#include "base/rcu.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace skep::rcu {
namespace {

TEST(RcuEpochs, GraceWaitsForEachReaderOnce) {
  const u64 nobody = begin_grace();
  EXPECT_TRUE(grace_over(nobody));

  std::atomic<u32> step{0};
  const auto wait_for = [&](u32 value) {
    while (step.load() != value) std::this_thread::yield();
  };
  std::thread other([&] {
    const Reader reader;
    step = 1;
    wait_for(2);
    quiescent();
    step = 3;
    wait_for(4);
    offline();
    step = 5;
    wait_for(6);
    online();
    step = 7;
    wait_for(8);
  });
  wait_for(1);
  const u64 first = begin_grace();
  EXPECT_FALSE(grace_over(first)) << "the reader was there before";
  step = 2;
  wait_for(3);
  EXPECT_TRUE(grace_over(first));
  const u64 second = begin_grace();
  EXPECT_FALSE(grace_over(second));
  step = 4;
  wait_for(5);
  EXPECT_TRUE(grace_over(second)) << "who is offline sees nothing";
  step = 6;
  wait_for(7);
  EXPECT_TRUE(grace_over(second)) << "who came later never saw it";
  EXPECT_FALSE(grace_over(begin_grace()));
  step = 8;
  other.join();
  EXPECT_TRUE(grace_over(begin_grace()));
}

TEST(RcuEpochs, ReadersHaveSlotsOfTheirOwn) {
  EXPECT_EQ(reader_slot(), reader_slots);
  const Reader reader;
  const u32 mine = reader_slot();
  EXPECT_LT(mine, reader_slots);
  {
    const Reader nested;
    EXPECT_EQ(reader_slot(), mine);
  }
  u32 theirs = mine;
  std::thread([&] {
    const Reader their_reader;
    theirs = reader_slot();
  }).join();
  EXPECT_NE(theirs, mine);
}

}  // namespace
}  // namespace skep::rcu
