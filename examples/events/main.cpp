// Reads what a program outputs: in this process, or from the daemon's maps while the program runs on an
// interface.
//   events events.bpf.o                        loads it here, runs three packets
//   events --daemon RING EVENTS [COUNT]        pins of the maps, "/sys/fs/bpf/..."; ends after COUNT packets
#include <poll.h>
#include <skep/skep.hpp>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

namespace embed = skep::embed;

struct Packet {
  uint32_t length, ifindex;
};

int fail(const embed::Failure& f) {
  std::fprintf(stderr, "events: %s\n%s", f.what.c_str(), f.log.c_str());
  return 1;
}

void print_record(std::span<const std::byte> record) {
  Packet packet{};
  if (record.size() < sizeof packet) return;
  std::memcpy(&packet, record.data(), sizeof packet);
  std::printf("ring: %u bytes on interface %u\n", packet.length, packet.ifindex);
}

void print_event(const skep_event& event) {
  if (event.lost != 0) {
    std::printf("events: %llu lost\n", static_cast<unsigned long long>(event.lost));
    return;
  }
  Packet packet{};
  if (event.size < sizeof packet + 14) return;
  std::memcpy(&packet, event.data, sizeof packet);
  const auto* type = static_cast<const unsigned char*>(event.data) + sizeof packet + 12;
  std::printf("events: %u bytes on interface %u, type %02x%02x, CPU %u\n", packet.length, packet.ifindex,
              type[0], type[1], event.cpu);
}

int run_here(const std::string& path) {
  auto kernel = embed::Kernel::create();
  if (!kernel) return fail(kernel.error());
  auto object = kernel->load_file(path);
  if (!object) return fail(object.error());
  auto program = object->program("tell");
  auto ring_map = object->map("ring"), events_map = object->map("events");
  if (!program || !ring_map || !events_map) return fail(program ? ring_map.error() : program.error());
  auto ring = embed::RingBuffer::open(*ring_map);
  if (!ring) return fail(ring.error());
  auto events = embed::PerfBuffer::open(*events_map);
  if (!events) return fail(events.error());
  auto worker = kernel->worker();
  if (!worker) return fail(worker.error());

  std::array<std::array<unsigned char, 512>, 3> buffers{};
  std::array<skep_packet, 3> packets{};
  for (size_t i = 0; i < packets.size(); ++i) {
    skep_packet& p = packets[i];
    p.buffer = buffers[i].data();
    p.size = buffers[i].size();
    p.data = p.buffer + 256;
    p.data_end = p.data + 60 + i;
    p.data[12] = 0x08;  // ETH_P_IP
    p.ingress_ifindex = 7;
  }
  if (auto ran = worker->run(*program, packets); !ran) return fail(ran.error());
  const auto records = ring->consume(print_record);
  if (!records) return fail(records.error());
  const auto samples = events->consume(print_event);
  if (!samples) return fail(samples.error());
  return *records == 3 && *samples == 3 ? 0 : 1;
}

int follow_daemon(const std::string& ring_pin, const std::string& events_pin, uint64_t count) {
  auto kernel = embed::Kernel::connect();
  if (!kernel) return fail(kernel.error());
  auto ring_map = kernel->open_map(ring_pin), events_map = kernel->open_map(events_pin);
  if (!ring_map) return fail(ring_map.error());
  if (!events_map) return fail(events_map.error());
  auto ring = embed::RingBuffer::open(*ring_map);
  if (!ring) return fail(ring.error());
  auto events = embed::PerfBuffer::open(*events_map);
  if (!events) return fail(events.error());
  std::printf("reading\n");
  for (uint64_t records = 0, samples = 0; records < count || samples < count;) {
    std::fflush(stdout);
    std::array<pollfd, 2> wait{{{ring->fd(), POLLIN, 0}, {events->fd(), POLLIN, 0}}};
    if (poll(wait.data(), wait.size(), -1) < 0) return 1;
    const auto read = ring->consume(print_record);
    if (!read) return fail(read.error());
    const auto sampled = events->consume(print_event);
    if (!sampled) return fail(sampled.error());
    records += *read;
    samples += *sampled;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2) return run_here(argv[1]);
  if (argc >= 4 && std::strcmp(argv[1], "--daemon") == 0)
    return follow_daemon(argv[2], argv[3], argc > 4 ? std::strtoull(argv[4], nullptr, 0) : UINT64_MAX);
  std::fprintf(stderr, "usage: %s events.bpf.o | --daemon RING EVENTS [COUNT]\n", argv[0]);
  return 2;
}
