// The contract's part about test runs of packet programs: struct __sk_buff in and out, which packets are
// taken, what programs of each type see of them.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "kernel_contract/packets.hpp"

namespace skep::contract {
namespace {

TEST_P(PacketContract, EachTypeSeesItsPartOfTheFrame) {
  using namespace code;
  const std::vector<std::byte> frame = ip4_frame();
  for (const auto& [type, len] : std::vector<std::pair<ProgType, u32>>{
           {ProgType::sched_cls, 98}, {ProgType::sched_act, 98}, {ProgType::socket_filter, 84}}) {
    SCOPED_TRACE(prog_type_name(type));
    const auto field = [&](s16 at) {
      const auto result = run_with(load_as(type, program(load_w(0, 1, at), exit())));
      EXPECT_TRUE(result.has_value()) << (result ? "" : result.error().what);
      return result ? result->retval : ~0u;
    };
    EXPECT_EQ(field(0), len);
    EXPECT_EQ(field(4), 3u) << "not this machine's address: PACKET_OTHERHOST";
    EXPECT_EQ(field(16), 8u) << "protocol";
    EXPECT_EQ(field(40), 1u) << "ifindex";
    const auto result = run_with(load_as(type, program(mov(0, 7), exit())));
    ASSERT_TRUE(result.has_value()) << result.error().what;
    EXPECT_EQ(result->retval, 7u);
    ASSERT_EQ(result->data_out.size(), frame.size());
    const bool l2 = type != ProgType::socket_filter;
    EXPECT_EQ(result->data_out[0], l2 ? frame[0] : std::byte{0}) << "the link layer's header was taken off";
    EXPECT_TRUE(std::equal(frame.begin() + 14, frame.end(), result->data_out.begin() + 14));
  }
}

TEST_P(PacketContract, PacketsAreTakenByTheirSize) {
  using namespace code;
  const Handle prog = load_as(ProgType::sched_cls, program(mov(0, 0), exit()));
  const auto with = [&](std::size_t size, bool ip) {
    TestRunSpec spec;
    spec.data_in = ip4_frame();
    if (!ip) spec.data_in[12] = spec.data_in[13] = std::byte{0x88};
    spec.data_in.resize(size);
    return error_of(kernel().prog_test_run(prog.fd(), spec));
  };
  EXPECT_EQ(with(13, false), EINVAL);
  EXPECT_EQ(with(14, false), 0);
  EXPECT_EQ(with(14, true), EINVAL) << "an IPv4 frame without its header";
  EXPECT_EQ(with(33, true), EINVAL);
  EXPECT_EQ(with(34, true), 0);
  EXPECT_EQ(with(3712, false), 0);
  EXPECT_EQ(with(3713, false), EINVAL);
}

TEST_P(PacketContract, TheContextGoesInAndComesBack) {
  using namespace code;
  // cb[1] = mark + priority + cb[0]; mark = 5; tstamp and gso_size as given
  const Handle prog =
      load_as(ProgType::sched_cls, program(load_w(2, 1, 8), load_w(3, 1, 32), make(0x0f, 2, 3, 0, 0),
                                           load_w(3, 1, 48), make(0x0f, 2, 3, 0, 0), make(0x63, 1, 2, 52, 0),
                                           store_w_imm(1, 8, 5), load_w(0, 1, 164), exit()));
  const auto result =
      run_with(prog, context({{8, 100}, {32, 20}, {48, 3}, {152, 9}, {160, 500}, {164, 7}, {176, 88}}));
  ASSERT_TRUE(result.has_value()) << result.error().what;
  EXPECT_EQ(result->retval, 7u) << "gso_segs";
  ASSERT_EQ(result->ctx_out.size(), 192u);
  const auto word = [&](std::size_t at) { return skep::load<u32>(result->ctx_out.data() + at); };
  EXPECT_EQ(word(8), 5u);
  EXPECT_EQ(word(52), 123u);
  EXPECT_EQ(word(40), 1u);
  EXPECT_EQ(word(152), 9u);
  EXPECT_EQ(word(160), 500u);
  EXPECT_EQ(word(176), 88u);
}

TEST_P(PacketContract, WrongContextsAreRefused) {
  using namespace code;
  const Handle prog = load_as(ProgType::sched_cls, program(mov(0, 0), exit()));
  for (const u32 at : {0u, 4u, 12u, 16u, 20u, 44u, 68u, 72u, 76u, 88u, 140u, 180u})
    EXPECT_EQ(error_of(run_with(prog, context({{at, 1}}))), EINVAL) << at;
  EXPECT_EQ(error_of(run_with(prog, context({{160, 50}}))), EINVAL) << "less on the wire than there is";
  EXPECT_EQ(error_of(run_with(prog, context({{160, 65536}}))), 0);
  EXPECT_EQ(error_of(run_with(prog, context({{160, 65537}}))), EINVAL);
  EXPECT_EQ(error_of(run_with(prog, context({{164, 65536}}))), EINVAL);
  EXPECT_EQ(error_of(run_with(prog, context({{40, 999999}}))), ENODEV);
  EXPECT_EQ(error_of(run_with(prog, context({{8, 1}}, 100))), 0) << "an older, shorter structure";
  EXPECT_EQ(error_of(run_with(prog, context({}, 200))), 0) << "a newer one without anything new in it";
  EXPECT_EQ(error_of(run_with(prog, context({{196, 1}}, 200))), E2BIG);
  EXPECT_EQ(error_of(run_with(prog, {}, 1)), EINVAL) << "a flag of other types";
  EXPECT_EQ(error_of(run_with(prog, {}, 4)), 0) << "BPF_F_TEST_SKB_CHECKSUM_COMPLETE";
}

TEST_P(PacketContract, ClassicPacketLoadsEndTheProgramBeyondThePacket) {
  using namespace code;
  const auto loaded = [&](u8 opcode, s32 at) {
    const auto result = run_with(load_as(
        ProgType::socket_filter, program(mov_reg(6, 1), make(opcode, 0, 0, 0, at), add(0, 1), exit())));
    EXPECT_TRUE(result.has_value());
    return result ? result->retval : ~0u;
  };
  EXPECT_EQ(loaded(0x30, 0), 0x46u) << "u8";
  EXPECT_EQ(loaded(0x28, 2), 85u) << "u16, in host order";
  EXPECT_EQ(loaded(0x20, 12), 0x0a010102u) << "u32";
  EXPECT_EQ(loaded(0x20, 80), 1u) << "the last word";
  EXPECT_EQ(loaded(0x20, 81), 0u);
  EXPECT_EQ(loaded(0x30, -0x100000), 0x46u) << "SKF_NET_OFF";
  EXPECT_EQ(loaded(0x28, -0x200000 + 12), 0x801u) << "SKF_LL_OFF: the Ethernet header";
}

TEST_P(PacketContract, ThePacketsSocketHasThePacketsAddresses) {
  using namespace code;
  const auto field = [&](s16 at) {
    const auto result =
        run_with(load_as(ProgType::sched_cls,
                         program(mov(0, -1), load_dw(1, 1, 168), jeq(1, 0, 1), load_w(0, 1, at), exit())));
    EXPECT_TRUE(result.has_value()) << (result ? "" : result.error().what);
    return result ? result->retval : ~0u;
  };
  EXPECT_EQ(field(4), 2u) << "AF_INET";
  EXPECT_EQ(field(24), 0x0101010au);
  EXPECT_EQ(field(52), 0x0201010au);
  EXPECT_EQ(field(72), 7u) << "TCP_CLOSE";
  EXPECT_EQ(field(76), ~0u) << "no queue";
}

TEST_P(PacketContract, CgroupProgramsReadThePacketBehindItsLinkLayer) {
  using namespace code;
  const auto reaches = [&](s32 len) {  // data + len <= data_end
    const auto result = run_with(
        load_as(ProgType::cgroup_skb, program(load_w(2, 1, 76), load_w(3, 1, 80), mov(0, 0), add(2, len),
                                              make(0x2d, 2, 3, 1, 0), mov(0, 1), exit())));
    EXPECT_TRUE(result.has_value()) << (result ? "" : result.error().what);
    return result && result->retval == 1;
  };
  EXPECT_TRUE(reaches(84));
  EXPECT_FALSE(reaches(85));
}

TEST_P(PacketContract, WritesIntoThePacketComeOut) {
  using namespace code;
  const Handle prog = load_as(
      ProgType::sched_cls, program(load_w(2, 1, 76), load_w(3, 1, 80), mov_reg(4, 2), add(4, 14), mov(0, 1),
                                   make(0x2d, 4, 3, 2, 0), make(0x72, 2, 0, 5, 0x77), mov(0, 2), exit()));
  const auto result = run_with(prog);
  ASSERT_TRUE(result.has_value()) << result.error().what;
  EXPECT_EQ(result->retval, 2u);
  EXPECT_EQ(result->data_out.at(5), std::byte{0x77});
}

TEST_P(PacketContract, NetfilterRunsAreAtAHookOfThePacketsFamily) {
  using namespace code;
  ProgramSpec program_spec = xdp(program(mov(0, 1), exit()));
  program_spec.type = ProgType::netfilter;
  program_spec.expected_attach_type = AttachType::netfilter;
  const Handle prog = load(program_spec);
  constexpr u8 input = 1, forward = 2, output = 3, no_hook = 9, ip4 = 2, ip6 = 10, bridge = 7;
  struct Case {
    u8 hook, pf;
    std::size_t bytes;  ///< of the frame
    u32 other;          ///< the low word of `in`
    int want;
  };
  for (const Case& c : std::vector<Case>{{output, ip4, 98, 0, 0},
                                         {output, ip6, 98, 0, 0},
                                         {input, ip4, 98, 0, 0},
                                         {forward, ip4, 98, 0, 0},
                                         {no_hook, ip4, 98, 0, 0},
                                         {input, ip6, 98, 0, EINVAL},
                                         {input, ip4, 33, 0, EINVAL},
                                         {input, ip4, 34, 0, 0},
                                         {output, ip4, 20, 0, 0},
                                         {output, ip6, 20, 0, 0},
                                         {output, ip4, 19, 0, EINVAL},
                                         {output, ip4, 13, 0, EINVAL},
                                         {output, bridge, 98, 0, EINVAL},
                                         {output, 0, 98, 0, EINVAL},
                                         {output, ip4, 98, 1, EINVAL}}) {
    SCOPED_TRACE(testing::Message() << +c.hook << " " << +c.pf << " " << c.bytes);
    TestRunSpec spec;
    spec.data_in = ip4_frame();
    spec.data_in.resize(c.bytes);
    spec.ctx_in = context({{0, u32{c.hook} | u32{c.pf} << 8}, {8, c.other}}, 48);
    const auto result = kernel().prog_test_run(prog.fd(), spec);
    EXPECT_EQ(result ? 0 : result.error().code, c.want);
    if (result) {
      EXPECT_EQ(result->retval, 1u);
    }
  }
  TestRunSpec arp;
  arp.data_in = ip4_frame();
  arp.data_in[13] = std::byte{6};
  arp.ctx_in = context({{0, u32{input} | u32{ip4} << 8}}, 48);
  const auto result = kernel().prog_test_run(prog.fd(), arp);
  EXPECT_EQ(result ? 0 : result.error().code, EPROTO);
}

TEST_P(PacketContract, TasksAndPacketsAreUnderControlGroups) {
  using namespace code;
  std::string mount = "/tmp/skep-cgroup-XXXXXX";
  ASSERT_NE(::mkdtemp(mount.data()), nullptr);
  const bool mounted = ::mount("none", mount.c_str(), "cgroup2", 0, nullptr) == 0;
  const std::string child = mount + "/skep-contract-" + std::to_string(::getpid());
  const bool made = mounted && ::mkdir(child.c_str(), 0755) == 0;
  const UniqueFd root(::open(mount.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const UniqueFd empty(::open(child.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const Handle groups = map(map_spec(MapType::cgroup_array, 4, 4, 2));
  const auto put = [&](u32 index, int fd) {
    return kernel().map_update_elem(groups.fd(), bytes_of(index), bytes_of(fd), 0).has_value();
  };
  const bool there = made && put(0, root.get()) && put(1, empty.get());
  if (made) ::rmdir(child.c_str());
  if (mounted) ::umount2(mount.c_str(), MNT_DETACH);
  ::rmdir(mount.c_str());
  if (!there) GTEST_SKIP() << "control groups cannot be mounted here, or are another process's";
  const auto result_of = [&](std::vector<isa::Insn> insns) {
    const auto result = run_with(load_as(ProgType::sched_cls, std::move(insns)));
    return result ? static_cast<s32>(result->retval) : INT32_MIN;
  };
  for (const s32 index : {0, 1}) {
    EXPECT_EQ(result_of(program(map_fd(1, groups.fd()), mov(2, index), call(37), exit())), 1 - index);
    EXPECT_EQ(result_of(program(map_fd(2, groups.fd()), mov(3, index), call(33), exit())), 1 - index);
  }
}

}  // namespace
}  // namespace skep::contract
