// Helpers that make and check SYN cookies (kernel: net/core/filter.c, net/ipv4/syncookies.c; the method is
// RFC 4987's). The raw ones use a secret of this process: cookies that one program makes another checks, but
// the host's own stack knows other ones. The kernel's secret and its listeners' queues are out of a process's
// reach: the helpers that take a socket refuse what depends on them.
#include <sys/random.h>
#include <time.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <string>

#include "base/bytes.hpp"
#include "base/fd.hpp"
#include "helpers/families.hpp"
#include "progs/sock.hpp"

namespace skep::helpers {
namespace {

constexpr u32 tcp_header = 20, ip4_header = 20, ip6_header = 40;
constexpr u16 mss_default4 = 536;
constexpr u16 mss_default6 = 1280 - tcp_header - ip6_header;
constexpr std::array<u16, 4> mss4 = {536, 1300, 1440, 1460};
constexpr std::array<u16, 4> mss6 = {1220, 1420, 1440, 8940};
constexpr u32 hash_bits = 24, hash_mask = (1u << hash_bits) - 1;
constexpr u32 slots_valid = 2;    ///< MAX_SYNCOOKIE_AGE
constexpr s64 slot_seconds = 60;  ///< TCP_SYNCOOKIE_PERIOD

u16 net16(const std::byte* at) { return __builtin_bswap16(load<u16>(at)); }
u32 net32(const std::byte* at) { return __builtin_bswap32(load<u32>(at)); }

/// SipHash-2-4 of words.
u64 siphash(std::array<u64, 2> key, std::span<const u64> words) {
  u64 a = key[0] ^ 0x736f6d6570736575, b = key[1] ^ 0x646f72616e646f6d, c = key[0] ^ 0x6c7967656e657261,
      d = key[1] ^ 0x7465646279746573;
  const auto round = [&] {
    a += b, b = std::rotl(b, 13) ^ a, a = std::rotl(a, 32);
    c += d, d = std::rotl(d, 16) ^ c;
    a += d, d = std::rotl(d, 21) ^ a;
    c += b, b = std::rotl(b, 17) ^ c, c = std::rotl(c, 32);
  };
  const auto word = [&](u64 w) {
    d ^= w;
    round(), round();
    a ^= w;
  };
  for (const u64 w : words) word(w);
  word(u64{words.size() * sizeof(u64)} << 56);
  c ^= 0xff;
  for (int i = 0; i < 4; ++i) round();
  return a ^ b ^ c ^ d;
}

/// A secret for the time of this process.
std::array<u64, 2> secret() {
  static std::array<u64, 2> key{};
  static std::once_flag once;
  std::call_once(once, [] {
    if (::getrandom(key.data(), sizeof key, 0) != sizeof key)
      key = {static_cast<u64>(::time(nullptr)), reinterpret_cast<u64>(&key)};  // NOLINT: any number
  });
  return key;
}

/// A connection's packet: where its headers are, and which is which.
struct Segment {
  const std::byte* ip;
  const std::byte* tcp;
  bool ipv6;
};

u32 hash(const Segment& s, u32 slot) {
  std::array<u64, 6> words{};
  std::memcpy(words.data(), s.ip + (s.ipv6 ? 8 : 12), s.ipv6 ? 32 : 8);
  words[4] = load<u32>(s.tcp);  // both ports
  words[5] = slot;
  return static_cast<u32>(siphash(secret(), words));
}
u32 time_slot() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return static_cast<u32>(now.tv_sec / slot_seconds) + 1;
}

/// secure_tcp_syn_cookie(): the slot of time in the high byte; below it which of the sizes.
u32 make_cookie(const Segment& s, u32 sequence, u32 data) {
  const u32 slot = time_slot();
  return hash(s, 0) + sequence + (slot << hash_bits) + ((hash(s, slot) + data) & hash_mask);
}
/// check_tcp_syn_cookie(): what make_cookie() was given, or a number that is no index.
u32 check_cookie(const Segment& s, u32 cookie, u32 sequence) {
  constexpr u32 none = ~0u;
  cookie -= hash(s, 0) + sequence;
  const u32 slot = time_slot();
  const u32 age = (slot - (cookie >> hash_bits)) & (~0u >> hash_bits);
  return age >= slots_valid ? none : (cookie - hash(s, slot - age)) & hash_mask;
}

/// tcp_parse_mss_option(); 0: none.
u16 mss_option(const std::byte* tcp) {
  const u32 end = (static_cast<u32>(tcp[12]) >> 4) * 4;
  u16 mss = 0;
  for (u32 at = tcp_header; at < end;) {
    enum : u8 { last = 0, nothing = 1, mss_kind = 2 };
    const auto kind = static_cast<u8>(tcp[at]);
    if (kind == last) return mss;
    if (kind == nothing) {
      ++at;
      continue;
    }
    if (at + 2 > end) return mss;
    const auto size = static_cast<u8>(tcp[at + 1]);
    if (size < 2 || at + size > end) return mss;
    if (kind == mss_kind && size == 4 && net16(tcp + at + 2) != 0) mss = net16(tcp + at + 2);
    at += size;
  }
  return mss;
}

bool header_fits(const std::byte* tcp, u32 len) {
  return len >= tcp_header && len == (static_cast<u32>(tcp[12]) >> 4) * 4;
}

u64 raw_gen(const Segment& s, u64 len, std::span<const u16> sizes, u16 mss_default) {
  if (!header_fits(s.tcp, static_cast<u32>(len))) return error_result(EINVAL);
  const u16 option = mss_option(s.tcp);
  const u16 wanted = option != 0 ? option : mss_default;
  u32 index = static_cast<u32>(sizes.size()) - 1;
  while (index != 0 && wanted < sizes[index]) --index;
  return make_cookie(s, net32(s.tcp + 4), index) | u64{sizes[index]} << 32;
}
u64 raw_check(const Segment& s, std::size_t sizes) {
  const u32 index = check_cookie(s, net32(s.tcp + 8) - 1, net32(s.tcp + 4) - 1);
  return index < sizes ? 0 : error_result(EACCES);
}

Segment segment(u64 ip, u64 tcp, bool ipv6) {
  return {pointer<const std::byte>(ip), pointer<const std::byte>(tcp), ipv6};
}
u64 raw_gen4(u64 ip, u64 tcp, u64 len, u64, u64, RunContext*) {
  return raw_gen(segment(ip, tcp, false), len, mss4, mss_default4);
}
u64 raw_gen6(u64 ip, u64 tcp, u64 len, u64, u64, RunContext*) {
  return raw_gen(segment(ip, tcp, true), len, mss6, mss_default6);
}
u64 raw_check4(u64 ip, u64 tcp, u64, u64, u64, RunContext*) {
  return raw_check(segment(ip, tcp, false), mss4.size());
}
u64 raw_check6(u64 ip, u64 tcp, u64, u64, u64, RunContext*) {
  return raw_check(segment(ip, tcp, true), mss6.size());
}

// --- for a listening socket of the host ---

bool host_uses_cookies() {
  const auto setting = read_file("/proc/sys/net/ipv4/tcp_syncookies");
  return setting && !setting->starts_with('0');
}
bool is_tcp_listener(const progs::Sock& sock) {
  constexpr u8 listen = 10;
  constexpr u16 tcp = 6;
  return sock.state == listen && sock.protocol == tcp;
}
/// The errno that a header of another family than the socket's gives, or 0.
int family_error(const progs::Sock& sock, const std::byte* ip, u32 ip_len) {
  constexpr u16 af_inet6 = 10;
  const u32 version = static_cast<u32>(ip[0]) >> 4;
  if (version == 4) return 0;
  if (version != 6) return EPROTONOSUPPORT;
  return ip_len < ip6_header || sock.family != af_inet6 ? EINVAL : 0;
}

enum TcpFlag : u8 { fin = 1, syn = 2, rst = 4, ack = 16 };

/// Whether the host's listener has overflowed lately, and so sent cookies, is not known: as if it had not.
u64 check(u64 sock64, u64 ip64, u64 ip_len, u64 tcp64, u64 tcp_len, RunContext*) {
  const auto& sock = *pointer<const progs::Sock>(sock64);
  const auto* tcp = pointer<const std::byte>(tcp64);
  if (sock64 == 0 || static_cast<u32>(tcp_len) < tcp_header || !is_tcp_listener(sock) || !host_uses_cookies())
    return error_result(EINVAL);
  const auto flags = static_cast<u8>(tcp[13]);
  if ((flags & ack) == 0 || (flags & (rst | syn)) != 0) return error_result(ENOENT);
  if (static_cast<u32>(ip_len) < ip4_header) return error_result(EINVAL);
  (void)ip64;
  return error_result(ENOENT);
}
/// A cookie that the host would take needs the host's secret: EOPNOTSUPP, as of kernels without cookies.
u64 gen(u64 sock64, u64 ip64, u64 ip_len, u64 tcp64, u64 tcp_len, RunContext*) {
  const auto& sock = *pointer<const progs::Sock>(sock64);
  const auto* tcp = pointer<const std::byte>(tcp64);
  if (sock64 == 0 || !header_fits(tcp, static_cast<u32>(tcp_len)) || !is_tcp_listener(sock))
    return error_result(EINVAL);
  if (!host_uses_cookies()) return error_result(ENOENT);
  const auto flags = static_cast<u8>(tcp[13]);
  if ((flags & syn) == 0 || (flags & (ack | fin | rst)) != 0) return error_result(EINVAL);
  if (static_cast<u32>(ip_len) < ip4_header) return error_result(EINVAL);
  const int family = family_error(sock, pointer<const std::byte>(ip64), static_cast<u32>(ip_len));
  return error_result(family != 0 ? family : EOPNOTSUPP);
}

constexpr HelperRow rows[] = {{100, check},    {110, gen},        {204, raw_gen4},
                              {205, raw_gen6}, {206, raw_check4}, {207, raw_check6}};

}  // namespace

std::span<const HelperRow> syncookie_family() { return rows; }

}  // namespace skep::helpers
