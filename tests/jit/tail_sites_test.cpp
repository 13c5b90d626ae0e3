// Tail calls through known slots: where they go follows the slot, whatever stands in it.
#include "jit/tail_sites.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "base/rcu.hpp"
#include "isa/asm.hpp"
#include "jit/compile.hpp"

namespace skep::jit {
namespace {

/// Descriptor n is the nth program.
struct Programs final : maps::Objects {
  std::vector<std::shared_ptr<const maps::ProgramRef>> list;
  Result<maps::MapRef> map(int) override { return fail(EBADF); }
  Result<std::shared_ptr<const maps::ProgramRef>> program(int fd) override {
    if (fd < 0 || static_cast<std::size_t>(fd) >= list.size()) return fail(EBADF);
    return list[static_cast<std::size_t>(fd)];
  }
};

u64 not_machine_code(const void* self, void*, RunContext*) { return *static_cast<const u64*>(self); }

class TailSitesTest : public ::testing::Test {
 protected:
  TailSitesTest() {
    MapSpec spec;
    spec.type = MapType::prog_array;
    spec.key_size = spec.value_size = 4;
    spec.max_entries = 4;
    auto made = maps::create(spec, {nullptr, &programs_});
    EXPECT_TRUE(made.has_value());
    array_ = *made;
  }
  ~TailSitesTest() override {
    array_.reset();
    programs_.list.clear();
    rcu::barrier();
  }
  std::shared_ptr<Compiled> compile(const std::string& source) {
    const auto insns = isa::assemble(source);
    EXPECT_TRUE(insns.has_value()) << (insns ? "" : insns.error().what);
    void* maps[] = {array_.get()};
    const vm::LinkTable links{.map_addresses = maps, .watches_slots = true};
    auto compiled = compile_unverified(*insns, links, {.pool = pool_});
    EXPECT_TRUE(compiled.has_value());
    return std::make_shared<Compiled>(*std::move(compiled));
  }
  /// A program that may stand in the array, as the descriptor that is returned.
  int add(const Entry& entry, std::shared_ptr<const void> keep) {
    auto ref = std::make_shared<maps::ProgramRef>();
    ref->run = entry.run;
    ref->self = entry.self;
    ref->jited = true;
    ref->program = std::move(keep);
    programs_.list.push_back(std::move(ref));
    return static_cast<int>(programs_.list.size()) - 1;
  }
  int add(const std::string& source) {
    auto compiled = compile(source);
    const Entry entry = compiled->tail_entry();
    return add(entry, std::move(compiled));
  }
  void set(u32 index, int fd) {
    const auto done =
        array_->user_update(std::as_bytes(std::span(&index, 1)), std::as_bytes(std::span(&fd, 1)), 0);
    EXPECT_TRUE(done.has_value());
  }
  void clear(u32 index) { EXPECT_TRUE(array_->user_delete(std::as_bytes(std::span(&index, 1))).has_value()); }
  u64 run(const Compiled& program, u64 context = 0) {
    rc_.tail_calls = 77;
    return program.entry()(&context, &rc_);
  }

  std::shared_ptr<CodePool> pool_ = std::make_shared<CodePool>();
  Programs programs_;
  maps::MapRef array_;
  RunContext rc_;
};

const std::string to_slot_1 = "r3 = 1; r2 = map 0; raw f500000000000000; r0 = 2; exit";

TEST_F(TailSitesTest, GoWhereTheSlotSays) {
  const auto caller = compile(to_slot_1);
  EXPECT_EQ(run(*caller), 2u);
  EXPECT_EQ(rc_.tail_calls, 0u) << "an empty slot counts nothing";
  const int same = add("r3 = 2; r2 = map 0; raw f500000000000000; r0 = 40; exit");
  const int leaf = add("r0 = *(u64 *)(r1 +0); r0 += 1; exit");
  const int large =
      add("r6 = *(u64 *)(r1 +0); *(u64 *)(r10 -200) = r6; r7 = 5; r0 = *(u64 *)(r10 -200); r0 += r7; exit");
  const u64 number = 91;
  const int interpreted = add(Entry{not_machine_code, &number}, nullptr);
  const std::pair<int, u64> expected[] = {{same, 40}, {leaf, 41}, {large, 45}, {interpreted, 91}};
  for (const auto& [first, first_result] : expected)
    for (const auto& [second, second_result] : expected) {
      set(1, first);
      EXPECT_EQ(run(*caller, 40), first_result);
      EXPECT_EQ(rc_.tail_calls, 1u);
      set(1, second);
      EXPECT_EQ(run(*caller, 40), second_result);
    }
  set(2, large);
  set(1, same);
  EXPECT_EQ(run(*caller, 40), 45u) << "from one to the next";
  EXPECT_EQ(rc_.tail_calls, 2u);
  clear(1);
  EXPECT_EQ(run(*caller, 40), 2u);
  EXPECT_EQ(rc_.tail_calls, 0u);
}

TEST_F(TailSitesTest, BeginWithWhatTheSlotHolds) {
  set(1, add("r0 = 7; exit"));
  EXPECT_EQ(run(*compile(to_slot_1)), 7u);
  const auto outside = compile("r3 = 4; r2 = map 0; raw f500000000000000; r0 = 2; exit");
  EXPECT_EQ(run(*outside), 2u) << "no such slot";
}

TEST_F(TailSitesTest, CountUpToTheLimit) {
  const auto self = compile("r6 = 1; *(u64 *)(r10 -8) = r6; " + to_slot_1);
  set(1, add(self->tail_entry(), self));
  EXPECT_EQ(run(*self), 2u);
  EXPECT_EQ(rc_.tail_calls, 33u);
  clear(1);
}

/// From a subprogram the program in the slot returns to that subprogram's caller.
TEST_F(TailSitesTest, LeaveSubprograms) {
  set(1, add("r0 = 7; exit"));
  const auto caller =
      compile("callf f; r0 += 1; exit; f: r3 = 1; r2 = map 0; raw f500000000000000; r0 = 2; exit");
  EXPECT_EQ(run(*caller), 8u);
}

TEST_F(TailSitesTest, ChangeWhileTheyRun) {
  const auto caller = compile(to_slot_1);
  const int fds[] = {add("r0 = 7; exit"), add("r6 = 7; r0 = r6; exit"),
                     add("r3 = 2; r2 = map 0; raw f500000000000000; r0 = 7; exit")};
  std::atomic<bool> done{false};
  std::atomic<u64> wrong{0}, runs{0};
  std::thread runner([&] {
    RunContext rc;
    while (!done.load()) {
      const u64 got = caller->entry()(nullptr, &rc);
      if (got != 7 && got != 2) wrong.fetch_add(1);
      runs.fetch_add(1);
    }
  });
  for (u32 i = 0; i < 3000 || runs.load() < 1000; ++i) {
    if (i % 4 != 3)
      set(1, fds[i % 4]);
    else
      clear(1);
  }
  done = true;
  runner.join();
  EXPECT_EQ(wrong.load(), 0u);
}

TEST_F(TailSitesTest, ProgramsGoWhileTheirSlotIsWatched) {
  set(1, add("r0 = 7; exit"));
  {
    const auto caller = compile(to_slot_1);
    EXPECT_EQ(run(*caller), 7u);
  }
  const auto other = compile(to_slot_1);  // where the first stood
  clear(1);
  EXPECT_EQ(run(*other), 2u);
}

}  // namespace
}  // namespace skep::jit
