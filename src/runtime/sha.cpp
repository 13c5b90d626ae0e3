// See sha.hpp. Both hashes work on 64-byte blocks, the last padded with 0x80, zeroes and the length in bits.
#include "runtime/sha.hpp"

#include <bit>
#include <vector>

namespace skep::runtime {
namespace {

constexpr std::size_t block_bytes = 64;

std::vector<u8> padded(ByteView bytes) {
  std::vector<u8> message(bytes.size());
  if (!bytes.empty()) std::memcpy(message.data(), bytes.data(), bytes.size());
  message.push_back(0x80);
  while (message.size() % block_bytes != block_bytes - 8) message.push_back(0);
  const u64 bits = u64{bytes.size()} * 8;
  for (int shift = 56; shift >= 0; shift -= 8) message.push_back(static_cast<u8>(bits >> shift));
  return message;
}

u32 word_at(const u8* at) { return u32{at[0]} << 24 | u32{at[1]} << 16 | u32{at[2]} << 8 | u32{at[3]}; }

template <std::size_t N>
std::array<u8, N * 4> big_endian(const std::array<u32, N>& words) {
  std::array<u8, N * 4> out{};
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<u8>(words[i / 4] >> (24 - 8 * (i % 4)));
  return out;
}

/// The first 32 bits of the fractional parts of the cube roots of the first 64 primes.
constexpr std::array<u32, 64> k256 = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

}  // namespace

std::array<u8, 32> sha256(ByteView bytes) {
  std::array<u32, 8> h = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                          0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  const std::vector<u8> message = padded(bytes);
  for (std::size_t block = 0; block < message.size(); block += block_bytes) {
    std::array<u32, 64> w{};
    for (std::size_t i = 0; i < 16; ++i) w[i] = word_at(&message[block + 4 * i]);
    for (std::size_t i = 16; i < 64; ++i) {
      const u32 s0 = std::rotr(w[i - 15], 7) ^ std::rotr(w[i - 15], 18) ^ w[i - 15] >> 3;
      const u32 s1 = std::rotr(w[i - 2], 17) ^ std::rotr(w[i - 2], 19) ^ w[i - 2] >> 10;
      w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    auto [a, b, c, d, e, f, g, hh] = h;
    for (std::size_t i = 0; i < 64; ++i) {
      const u32 t1 = hh + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) + ((e & f) ^ (~e & g)) +
                     k256[i] + w[i];
      const u32 t2 = (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
      hh = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
    }
    const std::array<u32, 8> add = {a, b, c, d, e, f, g, hh};
    for (std::size_t i = 0; i < 8; ++i) h[i] += add[i];
  }
  return big_endian(h);
}

std::array<u8, 20> sha1(ByteView bytes) {
  std::array<u32, 5> h = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
  const std::vector<u8> message = padded(bytes);
  for (std::size_t block = 0; block < message.size(); block += block_bytes) {
    std::array<u32, 80> w{};
    for (std::size_t i = 0; i < 16; ++i) w[i] = word_at(&message[block + 4 * i]);
    for (std::size_t i = 16; i < 80; ++i) w[i] = std::rotl(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    auto [a, b, c, d, e] = h;
    for (std::size_t i = 0; i < 80; ++i) {
      u32 f = b ^ c ^ d;
      if (i < 20) f = (b & c) | (~b & d);
      if (i >= 40 && i < 60) f = (b & c) | (b & d) | (c & d);
      constexpr std::array<u32, 4> k = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
      const u32 t = std::rotl(a, 5) + f + e + k[i / 20] + w[i];
      e = d, d = c, c = std::rotl(b, 30), b = a, a = t;
    }
    const std::array<u32, 5> add = {a, b, c, d, e};
    for (std::size_t i = 0; i < 5; ++i) h[i] += add[i];
  }
  return big_endian(h);
}

}  // namespace skep::runtime
