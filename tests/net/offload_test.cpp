#include "net/offload.hpp"

#include <gtest/gtest.h>

#include "net/port.hpp"

namespace skep::net {
namespace {

constexpr Offload kTcp{Offload::needs_csum, 1, 66, 1448, 34, 16};

TEST(MovedOffload, StaysWhereNothingMoved) { EXPECT_EQ(moved(kTcp, 0, 3000), kTcp); }

TEST(MovedOffload, FollowsTheHeaders) {
  EXPECT_EQ(moved(kTcp, 4, 3000), (Offload{Offload::needs_csum, 1, 70, 1448, 38, 16}));
  EXPECT_EQ(moved(kTcp, -4, 3000), (Offload{Offload::needs_csum, 1, 62, 1448, 30, 16}));
}

TEST(MovedOffload, IsDroppedWhenItsChecksumFieldIsNoLongerThere) {
  EXPECT_EQ(moved(kTcp, -30, 3000), Offload{}) << "the network header was removed";
  EXPECT_EQ(moved(kTcp, 0, 51), Offload{}) << "the packet ends within the field";
  EXPECT_EQ(moved(kTcp, 0, 52).csum_start, 34);
  EXPECT_EQ(moved(kTcp, 0x10000, 0x20000), Offload{});
}

TEST(MovedOffload, KeepsTheHeaderHintWithinTheFrame) {
  EXPECT_EQ(moved({0, 1, 66, 1448, 0, 0}, -60, 3000).hdr_len, 14);
  EXPECT_EQ(moved({0, 1, 66, 1448, 0, 0}, 0, 50).hdr_len, 50);
}

TEST(PacketTypes, AreWhatTheDestinationAddressSays) {
  const auto address = [](std::initializer_list<int> bytes) {
    std::array<std::byte, 6> made{};
    std::size_t at = 0;
    for (const int byte : bytes) made[at++] = std::byte(byte);
    return made;
  };
  const auto own = address({2, 0, 0, 0, 0, 1});
  const auto type = [&](std::initializer_list<int> to) { return classify(address(to).data(), own.data()); };
  EXPECT_EQ(type({2, 0, 0, 0, 0, 1}), PacketType::host);
  EXPECT_EQ(type({2, 0, 0, 0, 0, 2}), PacketType::otherhost);
  EXPECT_EQ(type({255, 255, 255, 255, 255, 255}), PacketType::broadcast);
  EXPECT_EQ(type({1, 0, 0x5e, 0, 0, 1}), PacketType::multicast);
}

}  // namespace
}  // namespace skep::net
