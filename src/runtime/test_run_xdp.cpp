// Test runs of XDP programs (kernel: bpf_prog_test_run_xdp()).
#include <net/if.h>
#include <unistd.h>

#include "base/limits.hpp"
#include "helpers/interfaces.hpp"
#include "progs/sk_buff.hpp"
#include "progs/xdp_buff.hpp"
#include "runtime/test_run_parts.hpp"

namespace skep::runtime {
namespace {

constexpr u32 tailroom = 320;      ///< struct skb_shared_info
constexpr u32 frame_bytes = 40;    ///< struct xdp_frame
constexpr u32 max_fragments = 17;  ///< MAX_SKB_FRAGS
constexpr u32 live_frames = 2;     ///< BPF_F_TEST_XDP_LIVE_FRAMES
constexpr u32 meta_max = 255;
constexpr u32 page = test_page;

/// struct xdp_md of the UAPI, as ctx_in and ctx_out carry it.
struct XdpMd {
  u32 data = 0, data_end = 0, data_meta = 0, ingress_ifindex = 0, rx_queue_index = 0, egress_ifindex = 0;
};

bool device_has_queue(u32 ifindex, u32 queue) {
  if (queue == 0) return true;
  std::array<char, IF_NAMESIZE> name{};
  if (::if_indextoname(ifindex, name.data()) == nullptr) return false;
  return ::access(fmt::format("/sys/class/net/{}/queues/rx-{}", name.data(), queue).c_str(), F_OK) == 0;
}

/// xdp_convert_md_to_buff()
Result<void> check_device(const XdpMd& md) {
  if (md.egress_ifindex != 0) return fail(EINVAL, "ctx_in: egress_ifindex must be 0");
  if (md.ingress_ifindex == 0) {
    if (md.rx_queue_index != 0) return fail(EINVAL, "ctx_in: rx_queue_index without ingress_ifindex");
    return {};
  }
  std::array<char, IF_NAMESIZE> name{};
  if (::if_indextoname(md.ingress_ifindex, name.data()) == nullptr)
    return fail(ENODEV, fmt::format("ctx_in: no interface {}", md.ingress_ifindex));
  if (!device_has_queue(md.ingress_ifindex, md.rx_queue_index))
    return fail(EINVAL, fmt::format("ctx_in: {} has no receive queue {}", name.data(), md.rx_queue_index));
  return {};
}

/// The buffer of one XDP test run: a page for the linear part, and pages for fragments of what does not fit.
class XdpRun {
 public:
  static Result<XdpRun> prepare(const TestRunSpec& spec) {
    XdpRun run;
    const auto in = static_cast<u32>(spec.data_in.size());
    u32 linear = in;
    u32 headroom = limits::xdp_headroom;
    const std::optional<XdpMd> md = TRY(read_context<XdpMd>(spec));
    run.has_ctx_ = md.has_value();
    if (md) {
      run.md_ = *md;
      const u32 meta = run.md_.data;
      if (run.md_.data_meta != 0 || run.md_.data_end > in || meta > run.md_.data_end || meta % 4 != 0 ||
          meta > meta_max || meta > headroom - frame_bytes)
        return fail(EINVAL, "ctx_in: data_meta, data and data_end do not fit the packet");
      headroom -= meta;
      linear = run.md_.data_end;
    }
    linear = std::min(linear, page - headroom - tailroom);
    if (in < eth_header + run.md_.data) return fail(EINVAL, fmt::format("data_in of {} bytes, needs 14", in));
    if ((in - linear + page - 1) / page > max_fragments)
      return fail(ENOMEM, fmt::format("data_in of {} bytes needs more than {} fragments", in, max_fragments));
    if (run.has_ctx_)
      if (auto ok = check_device(run.md_); !ok) return std::unexpected(std::move(ok).error());
    run.headroom_ = headroom;
    run.linear_.assign(spec.data_in.begin(), spec.data_in.begin() + linear);
    for (std::size_t at = linear; at < in; at += page) {
      const std::size_t part = std::min<std::size_t>(page, in - at);
      std::vector<std::byte>& bytes = run.pages_.emplace_back(page);
      std::memcpy(bytes.data(), spec.data_in.data() + at, part);
      run.page_lens_.push_back(static_cast<u32>(part));
    }
    run.buffer_.resize(page);
    return run;
  }

  /// Runs on the same buffer each time: each run finds what the one before left. EINTR: interrupted.
  Result<void> run(const TestRun& test, RunContext& run, TestRunResult& result) {
    device_.ifindex = md_.ingress_ifindex != 0 ? md_.ingress_ifindex : loopback_ifindex;
    if (test.program.reads_kernel_structs) helpers::describe_device(device_, net_);
    rxq_.dev = &device_;
    rxq_.queue_index = md_.rx_queue_index;
    std::memcpy(buffer_.data() + headroom_, linear_.data(), linear_.size());
    xdp_.data_hard_start = buffer_.data();
    xdp_.data_meta = buffer_.data() + headroom_;
    xdp_.data = xdp_.data_meta + md_.data;
    xdp_.data_end = xdp_.data_meta + linear_.size();
    xdp_.rxq = &rxq_;
    xdp_.frame_sz = page;
    auto& info = *new (buffer_.data() + page - tailroom) progs::SkbSharedInfo{};
    for (std::size_t i = 0; i < pages_.size(); ++i) {
      info.frags[i] = {pages_[i].data(), page_lens_[i], 0};
      info.xdp_frags_size += page_lens_[i];
      info.nr_frags = static_cast<u8>(i + 1);
      xdp_.flags = progs::xdp_has_frags;
    }
    run.ctx = &xdp_;
    return repeat_in_bursts(test.burst_entry(), &xdp_, run, test.spec, result);
  }

  Result<void> finish(const TestRunSpec& spec, TestRunResult& result) {
    const auto linear = static_cast<u32>(xdp_.data_end - xdp_.data_meta);
    std::vector<std::byte> bytes(xdp_.data_meta, xdp_.data_end);
    const auto& info = *reinterpret_cast<const progs::SkbSharedInfo*>(  // NOLINT: run() put it there
        buffer_.data() + page - tailroom);
    for (u32 i = 0; i < info.nr_frags; ++i) {
      const std::byte* fragment = info.frags[i].page + info.frags[i].offset;
      bytes.insert(bytes.end(), fragment, fragment + info.frags[i].len);
    }
    TRY(finish_data(spec, bytes, result));
    if (!has_ctx_) return {};
    md_.data = static_cast<u32>(xdp_.data - xdp_.data_meta);
    md_.data_end = linear;
    return finish_context(spec, md_, result);
  }

 private:
  std::vector<std::byte> buffer_;
  std::vector<std::byte> linear_;
  std::vector<std::vector<std::byte>> pages_;
  std::vector<u32> page_lens_;
  XdpMd md_;
  bool has_ctx_ = false;
  u32 headroom_ = 0;
  progs::NetDevice device_;
  progs::Net net_;
  progs::XdpRxqInfo rxq_;
  progs::XdpBuff xdp_;
};

}  // namespace

Result<TestRunResult> run_xdp(TestRun run) {
  const Program& program = run.program;
  const TestRunSpec& spec = run.spec;
  if (program.expected_attach_type == AttachType::xdp_devmap ||
      program.expected_attach_type == AttachType::xdp_cpumap)
    return fail(EINVAL, "programs for a devmap or cpumap cannot be test-run");
  if ((spec.flags & ~live_frames) != 0) return fail(EINVAL, fmt::format("test run flags {:#x}", spec.flags));
  if ((spec.flags & live_frames) != 0)
    return fail(EOPNOTSUPP, "BPF_F_TEST_XDP_LIVE_FRAMES is not supported by skep");
  if (spec.batch_size != 0) return fail(EINVAL, "batch_size without BPF_F_TEST_XDP_LIVE_FRAMES");
  XdpRun xdp = TRY(XdpRun::prepare(spec));
  TestRunResult result;
  TRY(xdp.run(run, run.context, result));
  if (auto ok = xdp.finish(spec, result); !ok) return std::unexpected(std::move(ok).error());
  return result;
}

}  // namespace skep::runtime
