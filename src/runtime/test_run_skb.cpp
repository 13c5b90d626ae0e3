// Test runs of the programs that have struct __sk_buff: tc, socket filters, cgroup_skb, lwt
// (kernel: bpf_prog_test_run_skb()).
#include <net/if.h>

#include "helpers/checksum.hpp"
#include "helpers/interfaces.hpp"
#include "helpers/skb.hpp"
#include "helpers/socket_storage.hpp"
#include "runtime/test_run_parts.hpp"

namespace skep::runtime {
namespace {

using helpers::Skb;
using progs::SkBuff;

constexpr u32 headroom = 64;               ///< NET_SKB_PAD + NET_IP_ALIGN
constexpr u32 checksum_complete_flag = 4;  ///< BPF_F_TEST_SKB_CHECKSUM_COMPLETE
constexpr u32 ip4_header = 20, ip6_header = 40;
constexpr u16 ip4 = 0x0008, ip6 = 0xdd86;  // network order
constexpr u16 af_inet = 2, af_inet6 = 10;
constexpr u8 tcp_close = 7;
constexpr u32 wire_len_max = 65536;  ///< GSO_LEGACY_MAX_SIZE
constexpr u32 gso_segs_max = 65535;  ///< GSO_MAX_SEGS

/// struct __sk_buff of the UAPI, as ctx_in and ctx_out carry it.
struct UserSkb {
  std::array<u32, 2> len_and_type{};
  u32 mark = 0;
  std::array<u32, 5> queue_to_vlan_proto{};
  u32 priority = 0;
  u32 ingress_ifindex = 0;
  u32 ifindex = 0;
  u32 tc_index = 0;
  std::array<u32, 5> cb{};
  std::array<u32, 21> hash_to_flow_keys{};
  u64 tstamp = 0;
  u32 wire_len = 0;
  u32 gso_segs = 0;
  u64 sk = 0;
  u32 gso_size = 0;
  u32 tstamp_type = 0;
  u64 hwtstamp = 0;
};
static_assert(offsetof(UserSkb, priority) == 32 && offsetof(UserSkb, cb) == 48 && sizeof(UserSkb) == 192);
static_assert(offsetof(UserSkb, tstamp) == 152 && offsetof(UserSkb, gso_size) == 176);

/// A caller that fills in what the run does not take would believe that it counts.
bool only_usable_fields(const UserSkb& user) {
  UserSkb rest = user;
  rest.mark = rest.priority = rest.ingress_ifindex = rest.ifindex = 0;
  rest.cb = {};
  rest.tstamp = rest.hwtstamp = 0;
  rest.wire_len = rest.gso_segs = rest.gso_size = 0;
  const ByteView bytes = bytes_of(rest);
  return std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; });
}

class SkbRun {
 public:
  explicit SkbRun(const Program& program)
      : l2_(program.type == ProgType::sched_cls || program.type == ProgType::sched_act),
        has_data_pointers_(program.type != ProgType::socket_filter),
        describes_device_(program.reads_kernel_structs) {}

  Result<void> prepare(const TestRunSpec& spec) {
    const auto size = static_cast<u32>(spec.data_in.size());
    constexpr u32 size_max = test_page - headroom - helpers::skb_tailroom_reserved;
    if (size < eth_header || size > size_max)
      return fail(EINVAL, fmt::format("data_in of {} bytes, must be {} to {}", size, eth_header, size_max));
    user_ = TRY(read_context<UserSkb>(spec));
    device_.ifindex = loopback_ifindex;
    if (user_ && user_->ifindex > loopback_ifindex) TRY(find_device());
    if (describes_device_) helpers::describe_device(device_, net_);
    std::memcpy(buffer_.data() + headroom, spec.data_in.data(), size);
    const u32 room = (size + 63) / 64 * 64 + headroom + helpers::skb_tailroom_reserved;  // as bpf_test_init()
    helpers::skb_build(skb_, buffer_.data(), room, headroom, size, &device_);
    buf_.sk = &sock_;
    sock_.state = tcp_close;
    sock_.cookie = 1;
    sock_.bpf_storage = &storage_;
    helpers::skb_eth_type_trans(skb_);
    TRY(fill_socket());
    if (l2_) helpers::skb_push(buf_, eth_header);
    if (has_data_pointers_) helpers::skb_compute_data_pointers(buf_);
    if (user_) TRY(take_context());
    if ((spec.flags & checksum_complete_flag) != 0) {
      buf_.csum = sum_behind_mac();
      helpers::skb_set_ip_summed(buf_, helpers::checksum_complete);
    }
    return {};
  }

  void once(const Entry& entry, RunContext& context, TestRunResult& result) {
    context.ctx = &buf_;
    context.tail_calls = 0;
    context.redirect = {};
    result.retval = static_cast<u32>(entry(&buf_, &context));
  }

  Result<void> finish(const TestRunSpec& spec, TestRunResult& result) {
    if (!l2_) {
      if (helpers::skb_headroom(buf_) < eth_header && !helpers::skb_expand_head(skb_, 16, 0))
        return fail(ENOMEM, "no memory for the link layer's header");
      helpers::skb_push(buf_, eth_header);
      std::memset(buf_.data, 0, eth_header);
    }
    if ((spec.flags & checksum_complete_flag) != 0 &&
        helpers::csum_fold_to_16(buf_.csum) != helpers::csum_fold_to_16(sum_behind_mac()))
      return fail(EBADMSG, "the program left a wrong checksum of the packet");
    TRY(finish_data(spec, {buf_.data, buf_.len}, result));
    if (!user_) return {};
    give_context();
    return finish_context(spec, *user_, result);
  }

 private:
  Result<void> find_device() {
    std::array<char, IF_NAMESIZE> name{};
    if (::if_indextoname(user_->ifindex, name.data()) == nullptr)
      return fail(ENODEV, fmt::format("ctx_in: no interface {}", user_->ifindex));
    device_.ifindex = user_->ifindex;
    return {};
  }

  /// The packet's socket has the packet's addresses, and no more.
  Result<void> fill_socket() {
    const u32 have = buf_.len;
    if (buf_.protocol == ip4) {
      if (have < ip4_header) return fail(EINVAL, fmt::format("an IPv4 frame with {} bytes of packet", have));
      sock_.family = af_inet;
      sock_.rcv_saddr = load<u32>(buf_.data + 12);
      sock_.daddr = load<u32>(buf_.data + 16);
    } else if (buf_.protocol == ip6) {
      if (have < ip6_header) return fail(EINVAL, fmt::format("an IPv6 frame with {} bytes of packet", have));
      sock_.family = af_inet6;
      std::memcpy(sock_.v6_rcv_saddr.data(), buf_.data + 8, 16);
      std::memcpy(sock_.v6_daddr.data(), buf_.data + 24, 16);
    }
    return {};
  }

  /// convert___skb_to_skb()
  Result<void> take_context() {
    const UserSkb& user = *user_;
    if (!only_usable_fields(user)) return fail(EINVAL, "ctx_in: a field is set that test runs do not take");
    buf_.mark = user.mark;
    buf_.priority = user.priority;
    buf_.skb_iif = user.ingress_ifindex;
    buf_.tstamp = user.tstamp;
    buf_.cb.data = user.cb;
    if (user.wire_len != 0 && (user.wire_len < buf_.len || user.wire_len > wire_len_max))
      return fail(EINVAL, fmt::format("ctx_in: wire_len {} of a packet of {}", user.wire_len, buf_.len));
    buf_.cb.pkt_len = user.wire_len != 0 ? user.wire_len : buf_.len;
    if (user.gso_segs > gso_segs_max) return fail(EINVAL, fmt::format("ctx_in: gso_segs {}", user.gso_segs));
    auto& info = helpers::skb_shared_info(buf_);
    info.gso_segs = static_cast<u16>(user.gso_segs);
    info.gso_size = static_cast<u16>(user.gso_size);
    info.hwtstamp = user.hwtstamp;
    return {};
  }
  /// convert_skb_to___skb()
  void give_context() {
    UserSkb& user = *user_;
    const auto& info = helpers::skb_shared_info(buf_);
    user.mark = buf_.mark;
    user.priority = buf_.priority;
    user.ingress_ifindex = buf_.skb_iif;
    user.ifindex = buf_.dev->ifindex;
    user.tstamp = buf_.tstamp;
    user.cb = buf_.cb.data;
    user.wire_len = buf_.cb.pkt_len;
    user.gso_segs = info.gso_segs;
    user.hwtstamp = info.hwtstamp;
  }

  [[nodiscard]] u32 sum_behind_mac() const {
    const auto offset = static_cast<u32>(helpers::skb_network_offset(buf_));
    return helpers::csum_partial({buf_.data + offset, buf_.len - offset}, 0);
  }

  bool l2_;
  bool has_data_pointers_;
  bool describes_device_;
  std::optional<UserSkb> user_;
  /// Aligned as the kernel's allocator gives it: programs that look at a pointer's low byte see the same.
  alignas(512) std::array<std::byte, test_page> buffer_{};
  progs::NetDevice device_{};
  progs::Net net_{};
  progs::Sock sock_{};
  helpers::SocketStorage storage_;
  Skb skb_{};
  SkBuff& buf_ = skb_.buf;
};

}  // namespace

namespace {

/// Storage of a control group that is there for the run alone (bpf_cgroup_storages_alloc() of
/// bpf_test_run()).
class RunStorage {
 public:
  RunStorage(const Program& program, RunContext& context) {
    for (const auto& map : program.maps) {
      const MapType type = map->facts().type;
      if (type != MapType::cgroup_storage && type != MapType::percpu_cgroup_storage) continue;
      const std::size_t which = type == MapType::percpu_cgroup_storage ? 1 : 0;
      values_[which].resize((map->facts().value_size + 7) / 8);
      context.cgroup_storage[which] = reinterpret_cast<std::byte*>(values_[which].data());  // NOLINT: bytes
    }
  }

 private:
  std::array<std::vector<u64>, 2> values_;  ///< shared, per CPU
};

}  // namespace

Result<TestRunResult> run_skb(TestRun run) {
  const TestRunSpec& spec = run.spec;
  const RunStorage storage(run.program, run.context);
  if ((spec.flags & ~checksum_complete_flag) != 0 || spec.cpu != 0 || spec.batch_size != 0)
    return fail(EINVAL, "test runs of packets take no such flags, no cpu and no batch_size");
  SkbRun skb(run.program);
  TRY(skb.prepare(spec));
  const Entry entry = run.entry();
  TestRunResult result;
  result.duration =
      TRY(repeated(spec, std::max(spec.repeat, 1u), [&] { skb.once(entry, run.context, result); }));
  TRY(skb.finish(spec, result));
  return result;
}

}  // namespace skep::runtime
