// States that share their stacks, callers and histories: what one of them writes, no other sees. And the
// memory that a program's states may take.
#include <gtest/gtest.h>

#include <utility>

#include "helpers/table.hpp"
#include "verifier/state/pool.hpp"
#include "verifier/verify.hpp"

namespace skep::verifier {
namespace {

/// A state with a caller and a callee, each with two written slots and a history of `entries`.
State* made(StatePool& pool, u32 entries) {
  State* state = pool.new_state();
  for (u32 f = 0; f < 2; ++f) {
    Frame* frame = pool.new_frame();
    frame->frameno = f;
    state->frame.set(f, frame);
    state->curframe = f;
    pool.grow_stack(*frame, 8);
    frame->slots[0].bytes[7] = SlotByte::misc;
    frame->slots[7].spilled.id = 7 + f;
  }
  for (u32 i = 0; i < entries; ++i) pool.push_history(*state, {.idx = i});
  return state;
}

const State& seen(const State* state) { return *state; }

TEST(StatePool, WhatOneStateWritesNoOtherSees) {
  StatePool pool;
  State* a = made(pool, 3);
  State* b = pool.copy(*a);
  EXPECT_EQ(seen(a).frame[0],
            seen(b).frame[0]);  // the caller is shared, the callee is not, but its slots are
  EXPECT_NE(seen(a).frame[1], seen(b).frame[1]);
  EXPECT_EQ(&seen(a).frame[1]->slots[7], &seen(b).frame[1]->slots[7]);

  b->frame[1]->slots[7].spilled.id = 100;
  b->frame[0]->slots[0].bytes[7] = SlotByte::zero;
  b->frame[0]->regs[3].id = 5;
  EXPECT_EQ(seen(a).frame[1]->slots[7].spilled.id, 8u);
  EXPECT_EQ(seen(a).frame[0]->slots[0].bytes[7], SlotByte::misc);
  EXPECT_EQ(seen(a).frame[0]->regs[3].id, 0u);
  EXPECT_EQ(seen(b).frame[1]->slots[7].spilled.id, 100u);
  EXPECT_EQ(seen(b).frame[0]->slots[0].bytes[7], SlotByte::zero);
  // What b did not write it has from a, also once a is gone.
  pool.release(a);
  EXPECT_EQ(seen(b).frame[0]->slots[7].spilled.id, 7u);
  EXPECT_EQ(seen(b).frame[1]->slots[0].bytes[7], SlotByte::misc);
  pool.release(b);
}

TEST(StatePool, ADroppedSlotIsEmptyInItsStateAlone) {
  StatePool pool;
  State* a = made(pool, 0);
  State* b = pool.copy(*a);
  pool.drop_slots(*b->frame[1], ~u64{1});
  EXPECT_EQ(seen(b).frame[1]->slots.present(), 1u);
  EXPECT_EQ(seen(b).frame[1]->slots[7].spilled.id, 0u);
  EXPECT_EQ(seen(a).frame[1]->slots[7].spilled.id, 8u);
  b->frame[1]->slots[7].bytes[0] = SlotByte::zero;  // written again, from nothing
  EXPECT_EQ(seen(b).frame[1]->slots[7].spilled.id, 0u);
  EXPECT_EQ(seen(a).frame[1]->slots[7].bytes[0], SlotByte::invalid);
}

TEST(StatePool, HistoriesPartWhereThePathsDo) {
  StatePool pool;
  State* a = made(pool, 3);
  State* b = pool.copy(*a);
  for (u32 i = 0; i < 50; ++i) pool.push_history(*a, {.idx = 1000 + i});
  for (u32 i = 0; i < 50; ++i) pool.push_history(*b, {.idx = 2000 + i});
  State* c = pool.copy(*b);
  pool.last_history(*c).flags = 9;
  ASSERT_EQ(a->history_count, 53u);
  ASSERT_EQ(b->history_count, 53u);
  for (u32 i = 0; i < 53; ++i) {
    EXPECT_EQ(a->history->entries()[i].idx, i < 3 ? i : 1000 + i - 3);
    EXPECT_EQ(b->history->entries()[i].idx, i < 3 ? i : 2000 + i - 3);
  }
  EXPECT_EQ(b->history->entries()[52].flags, 0u);
  EXPECT_EQ(c->history->entries()[52].flags, 9u);
  pool.clear_history(*b);
  EXPECT_EQ(b->history_count, 0u);
  EXPECT_EQ(c->history->entries()[0].idx, 0u);
}

TEST(StatePool, FreedMemoryIsUsedAgain) {
  StatePool pool;
  pool.release(made(pool, 20));
  const std::size_t bytes = pool.bytes();
  for (u32 i = 0; i < 10'000; ++i) {
    State* a = made(pool, 20);
    State* b = pool.copy(*a);
    b->frame[0]->slots[0].bytes[7] = SlotByte::zero;
    pool.release(a);
    pool.release(b);
  }
  EXPECT_LE(pool.bytes(), bytes * 2);
}

TEST(Memory, IsReportedAndBounded) {
  using namespace isa::op;
  const isa::Insn insns[] = {{.code = LDX | MEM | W, .dst = 2, .src = 1},
                             {.code = ALU64 | MOV | K},
                             {.code = JMP | JEQ | K, .dst = 2, .off = 1, .imm = 7},
                             {.code = ALU64 | MOV | K, .imm = 1},
                             {.code = JMP | EXIT}};
  Input input;
  input.type = ProgType::socket_filter;
  input.insns = insns;
  input.helper = helpers::lookup;
  input.helper_name = helpers::name;
  const auto accepted = verify(input);
  ASSERT_TRUE(accepted) << accepted.error().message;
  EXPECT_GT(accepted->memory(), 1000u);
  EXPECT_LT(accepted->memory(), 1'000'000u);
  input.memory_limit = 1000;
  const auto refused = verify(input);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ENOMEM);
  EXPECT_EQ(refused.error().message, "the states of the program take more than 1000 bytes");
  EXPECT_EQ(refused.error().memory, accepted->memory());
}

}  // namespace
}  // namespace skep::verifier
