#include "net/pcap_port.hpp"

#include <fmt/format.h>
#include <pcap/pcap.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "net/buffers.hpp"

namespace skep::net {
namespace {
constexpr int kSnapLength = 262144;  // tcpdump's own
}  // namespace

struct PcapPort::Files {
  std::string in_path, out_path;
  std::unique_ptr<pcap_t, void (*)(pcap_t*)> in{nullptr, pcap_close};
  std::unique_ptr<pcap_t, void (*)(pcap_t*)> out_format{nullptr, pcap_close};
  std::unique_ptr<pcap_dumper_t, void (*)(pcap_dumper_t*)> out{nullptr, pcap_dump_close};
  /// Per packet of the burst: bytes on the wire that the capture did not keep.
  std::array<u32, limits::packet_burst> cut{};
};

PcapPort::PcapPort(u32 ifindex, Mapping buffers)
    : ifindex_(ifindex), buffers_(std::move(buffers)), files_(std::make_unique<Files>()) {}
PcapPort::~PcapPort() = default;

Result<std::unique_ptr<PcapPort>> PcapPort::open(const std::string& in_path, const std::string& out_path,
                                                 u32 ifindex) {
  std::unique_ptr<PcapPort> port(new PcapPort(ifindex, TRY(make_burst_buffers())));
  Files& files = *port->files_;
  files.in_path = in_path;
  files.out_path = out_path;
  struct stat in_file{};
  if (in_path != "-" && ::stat(in_path.c_str(), &in_file) != 0) return fail_errno(in_path);
  if (S_ISDIR(in_file.st_mode)) return fail(EISDIR, fmt::format("{}: is a directory", in_path));
  std::array<char, PCAP_ERRBUF_SIZE> why{};
  files.in.reset(
      pcap_open_offline_with_tstamp_precision(in_path.c_str(), PCAP_TSTAMP_PRECISION_NANO, why.data()));
  if (!files.in) {
    const std::string_view text = why.data();
    return fail(EINVAL, text.starts_with(in_path) ? std::string(text) : fmt::format("{}: {}", in_path, text));
  }
  if (const int link = pcap_datalink(files.in.get()); link != DLT_EN10MB) {
    const char* name = pcap_datalink_val_to_name(link);
    return fail(EINVAL, fmt::format("{}: packets of link type {}, not Ethernet", in_path,
                                    name != nullptr ? name : std::to_string(link)));
  }
  if (out_path.empty()) return port;
  struct stat out_file{};
  if (::stat(out_path.c_str(), &out_file) == 0 && out_file.st_dev == in_file.st_dev &&
      out_file.st_ino == in_file.st_ino)
    return fail(EINVAL, fmt::format("{}: output would overwrite the input", out_path));
  files.out_format.reset(
      pcap_open_dead_with_tstamp_precision(DLT_EN10MB, kSnapLength, PCAP_TSTAMP_PRECISION_NANO));
  if (!files.out_format) return fail(ENOMEM, fmt::format("{}: out of memory", out_path));
  errno = 0;
  files.out.reset(pcap_dump_open(files.out_format.get(), out_path.c_str()));
  if (!files.out) return fail(errno != 0 ? errno : EIO, pcap_geterr(files.out_format.get()));
  return port;
}

u32 PcapPort::rx_burst(std::span<Packet, limits::packet_burst> burst) noexcept {
  u32 count = 0;
  while (state_ == PortState::open && count < burst.size()) {
    pcap_pkthdr* header = nullptr;
    const u_char* bytes = nullptr;
    const int got = pcap_next_ex(files_->in.get(), &header, &bytes);
    if (got == PCAP_ERROR)
      error_ = Error{EINVAL, fmt::format("{}: {}", files_->in_path, pcap_geterr(files_->in.get()))};
    if (got != 1) {
      state_ = PortState::ended;
      break;
    }
    if (header->caplen < ethernet_header || header->caplen > longest_packet) {
      lost_.add(1);
      continue;
    }
    std::memcpy(burst_buffer(buffers_, count), bytes, header->caplen);
    burst[count] = packet_in_buffer(buffers_, count, header->caplen, {});
    burst[count].timestamp_ns =
        static_cast<u64>(header->ts.tv_sec) * 1'000'000'000 + static_cast<u64>(header->ts.tv_usec);
    files_->cut[count] = header->len > header->caplen ? header->len - header->caplen : 0;
    count++;
  }
  return count;
}

void PcapPort::complete(std::span<Packet> burst) noexcept {
  if (!files_->out) return;
  for (std::size_t i = 0; i < burst.size(); i++) {
    const Packet& packet = burst[i];
    if (packet.disposition != Disposition::pass && packet.disposition != Disposition::tx) continue;
    pcap_pkthdr header{};
    header.ts.tv_sec = static_cast<time_t>(packet.timestamp_ns / 1'000'000'000);
    header.ts.tv_usec = static_cast<suseconds_t>(packet.timestamp_ns % 1'000'000'000);  // nanoseconds
    header.caplen = packet.size();
    header.len = packet.size() + files_->cut[i];
    pcap_dump(reinterpret_cast<u_char*>(files_->out.get()), &header,
              reinterpret_cast<const u_char*>(packet.data));
  }
}

Result<void> PcapPort::finish() {
  if (error_) return std::unexpected(*error_);
  if (!files_->out) return {};
  errno = 0;
  if (pcap_dump_flush(files_->out.get()) != 0 || std::ferror(pcap_dump_file(files_->out.get())) != 0)
    return fail(errno != 0 ? errno : EIO,
                fmt::format("{}: {}", files_->out_path, errno_text(errno != 0 ? errno : EIO)));
  return {};
}

PortStats PcapPort::stats() const { return {lost_.get(), 0, 0, 0}; }

}  // namespace skep::net
