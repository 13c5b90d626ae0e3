// The contract's part about helpers on packets: small programs, each with the result that Linux gives. The
// same table runs on every kernel, Linux included.
#include "kernel_contract/packets.hpp"

namespace skep::contract {
namespace {

struct HelperCase {
  std::string name;
  s32 helper;
  std::vector<s32> numbers;
  s32 result;
  std::size_t length = 98;  ///< of the packet afterwards
};

TEST_P(PacketContract, PacketHelpersGiveWhatLinuxGives) {
  const std::vector<HelperCase> cases = {
      {"pull_data of it all", 39, {98}, 0},
      {"pull_data of more", 39, {99}, -ENOMEM},
      {"change_type", 32, {0}, 0},
      {"change_type to what is none", 32, {4}, -EINVAL},
      {"change_tail shorter", 38, {60, 0}, 0, 60},
      {"change_tail longer", 38, {2000, 0}, 0, 2000},
      {"change_tail into the headers", 38, {13, 0}, -EINVAL},
      {"change_tail too long", 38, {20000, 0}, -EINVAL},
      {"change_tail flags", 38, {60, 1}, -EINVAL},
      {"change_head", 43, {14, 0}, 0, 112},
      {"change_head far", 43, {1000, 0}, 0, 1098},
      {"change_head too far", 43, {20000, 0}, -EINVAL},
      {"change_proto to IPv6", 31, {0xdd86, 0}, 0, 118},
      {"change_proto to what it is", 31, {8, 0}, -524},
      {"change_proto flags", 31, {0xdd86, 1}, -EINVAL},
      {"adjust_room grows", 50, {20, 1, 0}, 0, 118},
      {"adjust_room shrinks", 50, {-20, 1, 0}, 0, 78},
      {"adjust_room behind the IP header", 50, {8, 0, 0}, 0, 106},
      {"adjust_room below the header", 50, {-70, 1, 0}, -524},
      {"adjust_room too much", 50, {4096, 1, 0}, -EFAULT},
      {"adjust_room mode", 50, {8, 2, 0}, -524},
      {"adjust_room encap IPv4 and UDP", 50, {28, 1, 2 | 16}, 0, 126},
      {"adjust_room encap of both families", 50, {28, 1, 2 | 4}, -EINVAL},
      {"adjust_room decap while growing", 50, {28, 1, 128}, -EINVAL},
      {"vlan_push", 18, {0x0081, 5}, 0},
      {"vlan_pop without a tag", 19, {}, 0},
      {"l3_csum_replace", 10, {24, 0x1234, 0x4321, 2}, 0},
      {"l3_csum_replace at an odd place", 10, {25, 0, 0, 2}, -EFAULT},
      {"l3_csum_replace of another size", 10, {24, 0, 0, 3}, -EINVAL},
      {"l4_csum_replace by a difference", 11, {40, 0, 77, 0x10}, 0},
      {"l4_csum_replace of a zero that says none", 11, {40, 1, 2, 0x20 | 2}, 0},
      {"l4_csum_replace from with a difference", 11, {40, 1, 77, 0}, -EINVAL},
      {"csum_update without a sum", 40, {5}, -524},
      {"csum_level query", 135, {0}, -EACCES},
      {"csum_level of no kind", 135, {4}, -EINVAL},
      {"set_hash", 48, {77}, 0},
      {"get_route_realm", 24, {}, 0},
      {"ecn_set_ce of a packet that cannot", 97, {}, 0},
      {"redirect into the stack", 23, {1}, 7},
      {"redirect flags", 23, {2}, 2},
      {"redirect_peer", 155, {0}, 7},
      {"redirect_peer flags", 155, {1}, 2},
      {"clone_redirect to nowhere", 13, {999999, 0}, -EINVAL},
      {"clone_redirect flags", 13, {1, 2}, -EINVAL},
      {"set_tstamp without a time", 192, {0, 1}, -EINVAL},
  };
  for (const HelperCase& c : cases) {
    SCOPED_TRACE(c.name);
    const auto result = run_with(load_as(ProgType::sched_cls, one_call(c.helper, c.numbers)));
    ASSERT_TRUE(result.has_value()) << result.error().what;
    EXPECT_EQ(static_cast<s32>(result->retval), c.result);
    EXPECT_EQ(result->data_size_out, c.length);
  }
}

TEST_P(PacketContract, ChecksumsOfThePacketFollowItsBytes) {
  using namespace code;
  const Handle prog = load_as(ProgType::sched_cls, one_call(10, {24, 0x1234, 0x4321, 2}));
  const auto result = run_with(prog);
  ASSERT_TRUE(result.has_value()) << result.error().what;
  EXPECT_EQ(result->data_out.at(24), std::byte{0x12});
  EXPECT_EQ(result->data_out.at(25), std::byte{0xcf}) << "~(~0 - 0x1234 + 0x4321) in ones' complement";
}

TEST_P(PacketContract, BytesAreLoadedAndStored) {
  using namespace code;
  // the first byte of the IP header, then a store over it with the checksum's flag, read back
  const auto load_byte = [](s32 at, s32 size) {
    return program(mov_reg(6, 1), make(0x7a, 10, 0, -8, -1), mov(2, at), mov_reg(3, 10), add(3, -8),
                   mov(4, size), mov_reg(1, 6), call(26), make(0x55, 0, 0, 1, 0), load_w(0, 10, -8), exit());
  };
  EXPECT_EQ(run_with(load_as(ProgType::sched_cls, load_byte(14, 4)))->retval, 0x54000045u);
  EXPECT_EQ(run_with(load_as(ProgType::socket_filter, load_byte(0, 4)))->retval, 0x54000045u);
  EXPECT_EQ(run_with(load_as(ProgType::sched_cls, load_byte(95, 4)))->retval, static_cast<u32>(-EFAULT));
  const auto stored = run_with(
      load_as(ProgType::sched_cls, program(store_w_imm(10, -8, 0x04030201), mov(2, 20), mov_reg(3, 10),
                                           add(3, -8), mov(4, 4), mov(5, 3), call(9), exit())));
  ASSERT_TRUE(stored.has_value()) << stored.error().what;
  EXPECT_EQ(stored->retval, 0u);
  for (int i = 0; i < 4; ++i)
    EXPECT_EQ(stored->data_out.at(static_cast<std::size_t>(20 + i)), std::byte(i + 1));
}

TEST_P(PacketContract, ASecondVlanTagGoesIntoTheFrame) {
  using namespace code;
  const Handle prog =
      load_as(ProgType::sched_cls, program(mov_reg(6, 1), mov(2, 0x0081), mov(3, 5), call(18), mov_reg(1, 6),
                                           mov(2, 0xa888), mov(3, 6), call(18), load_w(0, 6, 24), exit()));
  const auto result = run_with(prog);
  ASSERT_TRUE(result.has_value()) << result.error().what;
  EXPECT_EQ(result->retval, 6u) << "vlan_tci";
  ASSERT_EQ(result->data_out.size(), 102u);
  EXPECT_EQ(result->data_out[12], std::byte{0x81});
  EXPECT_EQ(result->data_out[15], std::byte{5});
  EXPECT_EQ(result->data_out[16], std::byte{8}) << "the old type";
}

}  // namespace
}  // namespace skep::contract
