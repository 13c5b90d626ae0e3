// The hook by itself, over a port in memory: what a program sees of a packet, and what becomes of it.
#include "hooks/xdp.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/rcu.hpp"
#include "hooks/fixture.hpp"
#include "hooks/programs.hpp"
#include "net/memory_port.hpp"

namespace skep::testing {
namespace {

using net::Disposition;

class XdpHookInMemory : public ::testing::Test {
 protected:
  void SetUp() override {
    port = std::move(*net::MemoryPort::open(5));
    run.trace = &traces;
    run.cpu = 3;
    hook = std::make_unique<hooks::XdpHook>(port->ifindex(), run);
  }
  std::vector<net::MemoryPort::Outcome> run_on(const std::vector<std::vector<std::byte>>& packets,
                                               const hooks::XdpProgram& program) {
    const rcu::Reader reader;
    for (const auto& packet : packets) EXPECT_TRUE(port->push(packet));
    hooks::run_to_end(*port, *hook, program, nullptr, nullptr);
    return port->take();
  }
  static std::vector<std::byte> packet(std::size_t size = 60) {
    std::vector<std::byte> made(size);
    for (std::size_t i = 0; i < size; i++) made[i] = std::byte(i);
    return made;
  }
  std::unique_ptr<net::MemoryPort> port;
  Traces traces;
  RunContext run;
  std::unique_ptr<hooks::XdpHook> hook;
};

u64 by_first_byte(const void*, void* ctx, RunContext* rc) {
  const u8 verdict = byte_at(buff(ctx), 0);
  if (verdict == uapi::XDP_REDIRECT) rc->redirect.ifindex = 77;
  return verdict;
}

TEST_F(XdpHookInMemory, EachVerdictHasItsDispositionAndCounter) {
  std::vector<std::vector<std::byte>> packets;
  for (const int verdict : {0, 1, 1, 2, 2, 2, 3, 3, 3, 3, 4, 9}) {
    packets.push_back(packet());
    packets.back()[0] = std::byte(verdict);
  }
  const auto outcomes = run_on(packets, program(by_first_byte));
  ASSERT_EQ(outcomes.size(), packets.size());
  for (const auto& outcome : outcomes) {
    const u8 verdict = static_cast<u8>(outcome.bytes[0]);
    EXPECT_EQ(outcome.verdict, verdict);
    EXPECT_EQ(outcome.disposition, verdict == 2   ? Disposition::pass
                                   : verdict == 3 ? Disposition::tx
                                   : verdict == 4 ? Disposition::redirect
                                                  : Disposition::drop);
    EXPECT_EQ(outcome.out_ifindex, verdict == 4 ? 77U : 0U);
  }
  const auto stats = hooks::collect(*hook, *port);
  EXPECT_EQ(stats.rx, 12U);
  EXPECT_EQ(stats.aborted, 1U);
  EXPECT_EQ(stats.drop, 2U);
  EXPECT_EQ(stats.pass, 3U);
  EXPECT_EQ(stats.tx, 4U);
  EXPECT_EQ(stats.redirect, 1U);
  EXPECT_EQ(stats.invalid, 1U);
  EXPECT_EQ(stats.redirect_errors, 0U);
}

TEST_F(XdpHookInMemory, AbortedAndInvalidVerdictsAreTracedAsTheKernelsTracepointPrintsThem) {
  auto aborted = packet(), invalid = packet();
  aborted[0] = std::byte{0};
  invalid[0] = std::byte{42};
  run_on({aborted, invalid, invalid}, program(by_first_byte));
  EXPECT_THAT(traces.lines(),
              ::testing::ElementsAre("xdp_exception: prog_id=7 action=ABORTED ifindex=5",
                                     "xdp_exception: prog_id=7 action=0x2a ifindex=5",
                                     "bpf_warn_invalid_xdp_action: Illegal XDP return value 42 on prog test "
                                     "(id 7) ifindex 5, expect packet loss!",
                                     "xdp_exception: prog_id=7 action=0x2a ifindex=5"));
}

u64 inspect(const void* self, void* ctx, RunContext* rc) {
  const XdpBuff& xdp = buff(ctx);
  auto& seen = *static_cast<std::vector<u64>*>(const_cast<void*>(self));
  seen = {u64(xdp.data - xdp.data_hard_start),
          u64(xdp.data_end - xdp.data),
          u64(xdp.data - xdp.data_meta),
          xdp.rxq->dev->ifindex,
          xdp.rxq->queue_index,
          xdp.frame_sz,
          rc->cpu,
          rc->tail_calls,
          rc->redirect.ifindex,
          u64(rc->ctx == ctx)};
  rc->tail_calls = 9;
  rc->redirect.ifindex = 9;
  return uapi::XDP_PASS;
}

TEST_F(XdpHookInMemory, ProgramsSeeTheKernelsBuffer) {
  std::vector<u64> seen;
  run_on({packet(100), packet(1500)}, program(inspect, &seen));
  ASSERT_EQ(seen.size(), 10U);
  EXPECT_EQ(seen[0], 256U);
  EXPECT_EQ(seen[1], 1500U);
  EXPECT_EQ(seen[2], 0U);
  EXPECT_EQ(seen[3], 5U);
  EXPECT_EQ(seen[4], 0U);
  EXPECT_GE(seen[5], 256U + 1500 + 128 + 320);
  EXPECT_EQ(seen[6], 3U);
  EXPECT_EQ(seen[7], 0U) << "each run begins with no tail calls";
  EXPECT_EQ(seen[8], 0U) << "and with no redirect left by the run before";
  EXPECT_EQ(seen[9], 1U);
}

u64 reshape(const void*, void* ctx, RunContext*) {
  XdpBuff& xdp = buff(ctx);
  xdp.data -= 8;
  xdp.data_meta = xdp.data - 4;  // metadata is not part of the packet
  std::memset(xdp.data, 0xee, 8);
  xdp.data_end -= 10;
  return uapi::XDP_TX;
}

TEST_F(XdpHookInMemory, MovedEndsAreThePacket) {
  const auto outcomes = run_on({packet(60)}, program(reshape));
  ASSERT_EQ(outcomes.size(), 1U);
  ASSERT_EQ(outcomes[0].bytes.size(), 58U);
  EXPECT_EQ(outcomes[0].bytes[7], std::byte{0xee});
  EXPECT_EQ(outcomes[0].bytes[8], std::byte{0});
}

TEST_F(XdpHookInMemory, ChecksumWorkMovesWithTheHeaders) {
  const net::Offload offload{net::Offload::needs_csum, 1, 66, 1448, 34, 16};
  const rcu::Reader reader;
  ASSERT_TRUE(port->push(packet(200), offload));
  ASSERT_TRUE(port->push(packet(60), offload));
  hooks::run_to_end(*port, *hook, program(reshape), nullptr, nullptr);
  const auto outcomes = port->take();
  EXPECT_EQ(outcomes[0].offload, (net::Offload{net::Offload::needs_csum, 1, 74, 1448, 42, 16}));
  EXPECT_EQ(outcomes[1].offload, net::Offload{}) << "the checksum field was cut off: nothing left to do";
}

TEST_F(XdpHookInMemory, RedirectWithoutATargetIsAnErrorAndDropped) {
  const auto outcomes = run_on({packet()}, program(always, &kRedirect));
  EXPECT_EQ(outcomes[0].disposition, Disposition::drop);
  EXPECT_EQ(hook->stats().redirect_errors, 1U);
}

u64 count_runs(const void* self, void*, RunContext*) {
  ++*static_cast<std::atomic<int>*>(const_cast<void*>(self));
  return uapi::XDP_PASS;
}

TEST(XdpAttachmentInMemory, ReplacesItsProgramAndDetaches) {
  auto port = std::move(*net::MemoryPort::open(5));
  auto* memory = port.get();
  std::atomic<int> first{0}, second{0};
  hooks::InterfaceHookConfig config;
  config.program = program(count_runs, &first);
  auto attachment = hooks::InterfaceHook::open(std::move(port), config);
  ASSERT_TRUE(attachment);
  const std::vector<std::byte> bytes(60);
  for (int i = 0; i < 100; i++) ASSERT_TRUE(memory->push(bytes));
  EXPECT_TRUE(eventually([&] { return first == 100; }));
  (*attachment)->set_program(program(count_runs, &second));
  for (int i = 0; i < 50; i++) ASSERT_TRUE(memory->push(bytes));
  EXPECT_TRUE(eventually([&] { return second == 50; }));
  EXPECT_EQ(first, 100) << "the old program does not run after set_program";
  for (int i = 0; i < 1000; i++) ASSERT_TRUE(memory->push(bytes));
  attachment->reset();
  EXPECT_EQ(second, 1050) << "what was received before detaching still goes through the program";
}

}  // namespace
}  // namespace skep::testing
