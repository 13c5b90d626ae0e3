// Embeds skep: loads firewall.bpf.o, blocks UDP port 53 through its map, runs two packets, prints verdicts.
#include <skep/skep.hpp>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>

namespace {

/// An Ethernet/IPv4/UDP packet to `port`, in a buffer with headroom.
struct Frame {
  std::array<unsigned char, 512> buffer{};
  static constexpr size_t headroom = 256, length = 60;

  explicit Frame(uint16_t port) {
    unsigned char* p = buffer.data() + headroom;
    p[12] = 0x08;  // ETH_P_IP
    p[14] = 0x45;  // version 4, 20 bytes of header
    p[23] = 17;    // UDP
    p[36] = static_cast<unsigned char>(port >> 8);
    p[37] = static_cast<unsigned char>(port & 0xff);
  }
  skep_packet packet() {
    skep_packet p{};
    p.buffer = buffer.data();
    p.size = buffer.size();
    p.data = buffer.data() + headroom;
    p.data_end = p.data + length;
    return p;
  }
};

int fail(const skep::embed::Failure& f) {
  std::fprintf(stderr, "embed: %s\n%s", f.what.c_str(), f.log.c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s firewall.bpf.o\n", argv[0]);
    return 2;
  }
  auto kernel = skep::embed::Kernel::create();
  if (!kernel) return fail(kernel.error());
  auto object = kernel->load_file(argv[1]);
  if (!object) return fail(object.error());
  auto program = object->program("firewall");
  if (!program) return fail(program.error());
  auto blocked = object->map("blocked");
  if (!blocked) return fail(blocked.error());
  if (auto done = blocked->update(uint16_t{53}, uint64_t{0}); !done) return fail(done.error());

  auto worker = kernel->worker();
  if (!worker) return fail(worker.error());
  Frame dns(53), ntp(123);
  std::array<skep_packet, 2> packets{dns.packet(), ntp.packet()};
  if (auto ran = worker->run(*program, packets); !ran) return fail(ran.error());

  constexpr std::array<const char*, 5> names{"XDP_ABORTED", "XDP_DROP", "XDP_PASS", "XDP_TX", "XDP_REDIRECT"};
  std::printf("port 53: %s\nport 123: %s\n", names[packets[0].verdict], names[packets[1].verdict]);
  const auto hits = blocked->lookup<uint64_t>(uint16_t{53});
  if (!hits) return fail(hits.error());
  std::printf("hits on port 53: %llu\n", static_cast<unsigned long long>(*hits));
  return packets[0].verdict == 1 && packets[1].verdict == 2 && *hits == 1 ? 0 : 1;
}
