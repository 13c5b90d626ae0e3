// See capture.hpp.
#include "embed/capture.hpp"

#include <fmt/format.h>

#include "net/pcap_port.hpp"
#include "progs/xdp_buff.hpp"

namespace skep::embed {

struct Capture::Impl {
  // The trace comes by packet: the buffer of the packet that is running names it.
  std::vector<std::pair<const std::byte*, std::string>> trace;
  std::unique_ptr<Session> session;
  Object object;
  std::string program_name;
  hooks::XdpProgram program;
  std::unique_ptr<net::PcapPort> port;
  std::unique_ptr<hooks::XdpHook> hook;

  u64 packets = 0;

  /// `sizes`: of the packets as they came.
  void seen(std::span<const net::Packet> burst, std::span<const u32> sizes,
            const std::function<void(const PacketReport&)>& report);
};

Capture::Capture(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Capture::~Capture() = default;
Kernel& Capture::kernel() { return impl_->session->kernel(); }
const Object& Capture::object() const { return impl_->object; }
const std::string& Capture::program_name() const { return impl_->program_name; }

Result<std::unique_ptr<Capture>> Capture::open(const CaptureRequest& request, Messages& messages) {
  auto impl = std::make_unique<Impl>();
  auto spec = TRY(loader::open_object(request.object));
  impl->port = TRY(net::PcapPort::open(request.in, request.out, request.ifindex));

  Session::Options options;
  options.jit = request.jit;
  options.harden = request.harden;
  options.perf_map = request.perf_map;
  options.report_faults = true;
  options.trace = [trace = &impl->trace](std::string_view text, const RunContext& run) {
    const auto* xdp = static_cast<const progs::XdpBuff*>(run.ctx);
    trace->emplace_back(xdp == nullptr ? nullptr : xdp->data_hard_start, text);
  };
  impl->session = TRY(Session::create(std::move(options)));
  auto object = impl->session->load(std::move(spec), &messages);
  if (!object)
    return fail(object.error().code, messages.warning().empty() ? object.error().what : messages.warning());
  impl->object = std::move(*object);

  const loader::LoadedProgram* program = nullptr;
  if (!request.program.empty()) {
    program = TRY(impl->object.program(request.program));
  } else {
    for (const auto& candidate : impl->object.loaded.programs)
      if (candidate.type == ProgType::xdp && program == nullptr) program = &candidate;
    if (program == nullptr) return fail(EINVAL, request.object + ": it has no XDP program");
  }
  impl->program_name = program->name;
  impl->program = TRY(impl->session->kernel().xdp_program(program->handle.fd()));
  const u32 cpu = TRY(impl->session->take_cpu());
  impl->hook = std::make_unique<hooks::XdpHook>(request.ifindex, impl->session->kernel().run_context(cpu));
  return std::unique_ptr<Capture>(new Capture(std::move(impl)));
}

void Capture::Impl::seen(std::span<const net::Packet> burst, std::span<const u32> sizes,
                         const std::function<void(const PacketReport&)>& report) {
  for (std::size_t i = 0; i < burst.size(); ++i) {
    const net::Packet& packet = burst[i];
    PacketReport one;
    one.number = ++packets;
    one.length_in = sizes[i];
    one.length_out = packet.size();
    one.verdict = packet.verdict;
    if (packet.disposition == net::Disposition::redirect) one.redirect_ifindex = packet.out_ifindex;
    for (auto& [buffer, text] : trace)
      if (buffer == packet.hard_start) one.trace.push_back(std::move(text));
    report(one);
  }
  trace.clear();
}

Result<void> Capture::run(const std::function<void(const PacketReport&)>& report) {
  const rcu::Reader reader;
  std::array<net::Packet, limits::packet_burst> packets{};
  std::array<u32, limits::packet_burst> sizes{};
  while (const u32 count = impl_->port->rx_burst(packets)) {
    const std::span burst(packets.data(), count);
    for (u32 i = 0; i < count; ++i) sizes[i] = packets[i].size();
    impl_->hook->run_burst(impl_->program, burst);
    impl_->seen(burst, {sizes.data(), count}, report);
    impl_->port->complete(burst);
    rcu::quiescent();
  }
  return impl_->port->finish();
}

std::string verdict_name(u32 verdict) {
  switch (verdict) {
    case uapi::XDP_ABORTED:
      return "XDP_ABORTED";
    case uapi::XDP_DROP:
      return "XDP_DROP";
    case uapi::XDP_PASS:
      return "XDP_PASS";
    case uapi::XDP_TX:
      return "XDP_TX";
    case uapi::XDP_REDIRECT:
      return "XDP_REDIRECT";
    default:
      return fmt::format("{} (no verdict)", verdict);
  }
}

}  // namespace skep::embed
