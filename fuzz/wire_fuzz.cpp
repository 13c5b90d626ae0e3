// Requests of any bytes to the daemon: decoded, and what decodes is carried out by a UserKernel, with
// descriptors of a map, a program and something else for the labels. Only what would touch this machine's
// interfaces is left out. Replies of any bytes are decoded as well.
#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>

#include "client/wire.hpp"
#include "daemon/serve_bpf.hpp"
#include "daemon/serve_own.hpp"
#include "daemon/wire_caller.hpp"
#include "runtime/user_kernel.hpp"

namespace {

using namespace skep;
namespace wire = client::wire;

struct World {
  std::unique_ptr<runtime::UserKernel> kernel;
  std::unique_ptr<daemon::ObjectTable> objects;
  std::vector<UniqueFd> fds;
};

World make_world() {
  World world;
  world.kernel = std::move(*runtime::UserKernel::create({}));
  world.objects = std::move(*daemon::ObjectTable::create());
  MapSpec map;
  map.type = MapType::hash;
  map.key_size = 4;
  map.value_size = 8;
  map.max_entries = 16;
  world.fds.push_back(std::move(*world.objects->hand_out(std::move(*world.kernel->map_create(map)))));
  ProgramSpec program;
  program.type = ProgType::xdp;
  program.insns = {{.code = 0xb7, .imm = 2}, {.code = 0x95}};
  program.license = "GPL";
  world.fds.push_back(std::move(*world.objects->hand_out(std::move(*world.kernel->prog_load(program)))));
  world.fds.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  return world;
}

void carry_out(World& world, const wire::Request& request) {
  const auto command = static_cast<wire::Own>(request.cmd);
  if (request.cmd == static_cast<u32>(Cmd::link_create) || command == wire::Own::xdp_attach) return;
  // Runs of a program that the fuzzer asks for a billion times are not what is looked for.
  if (request.cmd == static_cast<u32>(Cmd::prog_test_run)) return;
  const std::atomic<bool> interrupted{false};
  daemon::WireCaller caller(*world.objects, request, 0, interrupted);
  std::vector<std::byte> attr = request.attr;
  std::vector<std::byte> blob;
  if (request.cmd < static_cast<u32>(wire::Own::xdp_attach))
    (void)daemon::serve_bpf(*world.kernel, caller, static_cast<Cmd>(request.cmd), attr);
  else
    (void)daemon::serve_own(*world.kernel, caller, command, attr, blob);
  world.objects->drop_closed();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static World world = make_world();
  const ByteView bytes = std::as_bytes(std::span(data, size));
  wire::Message message;
  message.bytes.assign(bytes.begin(), bytes.end());
  // A message must have its magic and as many descriptors as it says, or nothing behind that would be
  // reached.
  wire::RequestHeader header{};
  if (bytes.size() >= sizeof header) {
    header = load<wire::RequestHeader>(bytes.data());
    header.magic = wire::magic;
    header.flags &= ~(wire::RequestHeader::in_memfd | wire::RequestHeader::has_netns);
    header.body_size = bytes.size() - sizeof header;
    store(message.bytes.data(), header);
    for (u32 i = 0; i < std::min(header.fd_count, 8u); ++i)
      message.fds.push_back(std::move(*world.fds[i % world.fds.size()].duplicate()));
  }
  if (auto request = wire::decode_request(std::move(message))) carry_out(world, *request);
  wire::Message reply;
  reply.bytes.assign(bytes.begin(), bytes.end());
  (void)wire::decode_reply(std::move(reply));
  return 0;
}
