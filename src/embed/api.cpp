// The C API (include/skep/skep.h) over a Session. Every entry keeps the reason of a failure for skep_error().
#include <fmt/format.h>

#include "embed/handles.hpp"

using skep::ByteView;
using skep::Error;
using skep::Result;

namespace {

struct LastFailure {
  std::string text;
  std::string log;
};
thread_local LastFailure last;  // NOLINT: what skep_error() of this thread answers, as errno is

}  // namespace

int skep::embed::failed(const Error& error) {
  last.text = error.what.empty() ? skep::errno_text(error.code) : error.what;
  return error.code == 0 ? -EINVAL : -error.code;
}

void skep::embed::keep_verifier_log(std::string log) { last.log = std::move(log); }

namespace {

using skep::embed::failed;

template <class T>
int status(const Result<T>& result) {
  return result ? 0 : failed(result.error());
}

skep_object* load(skep_kernel* kernel, Result<skep::loader::ObjectSpec> spec) {
  last = {};
  if (!spec) {
    failed(spec.error());
    return nullptr;
  }
  if (kernel->session == nullptr) {
    failed(EOPNOTSUPP,
           "objects are loaded into a kernel of this process; 'skep prog load' loads them into the daemon");
    return nullptr;
  }
  skep::embed::Messages messages;
  auto object = kernel->session->load(std::move(*spec), &messages);
  if (!object) {
    Error error = object.error();
    if (!messages.warning().empty()) error.what = messages.warning();
    failed(error);
    last.log = messages.verifier_log();
    return nullptr;
  }
  return new skep_object{kernel, std::move(*object), {}, {}};
}

/// Bytes of a value as bpf(2) moves it: per-CPU maps have one for each CPU, rounded up to 8.
std::uint32_t user_value_size(const skep::MapInfo& info, std::uint32_t cpus) {
  switch (info.type) {
    case skep::MapType::percpu_hash:
    case skep::MapType::percpu_array:
    case skep::MapType::lru_percpu_hash:
    case skep::MapType::percpu_cgroup_storage:
      return (info.value_size + 7) / 8 * 8 * cpus;
    default:
      return info.value_size;
  }
}

/// Everything of a packet's bounds that a program could run out of.
bool in_bounds(const skep_packet& p) {
  return p.buffer != nullptr && p.size <= UINT32_MAX && p.data >= p.buffer && p.data_end >= p.data &&
         p.data_end <= p.buffer + p.size && p.data_end - p.data >= 14;
}

}  // namespace

extern "C" {

const char* skep_version(void) { return SKEP_VERSION; }
const char* skep_error(void) { return last.text.c_str(); }
const char* skep_verifier_log(void) { return last.log.c_str(); }

skep_kernel* skep_kernel_new(const struct skep_options* options) {
  last = {};
  skep::embed::Session::Options wanted;
  if (options != nullptr) {
    if (options->size != sizeof *options) {
      failed(EINVAL, "skep_options: size is not sizeof(struct skep_options)");
      return nullptr;
    }
    wanted.jit = options->no_jit == 0;
    wanted.cpus = options->cpus;
    if (options->trace != nullptr)
      wanted.trace = [trace = options->trace, user = options->trace_user](std::string_view text,
                                                                          const skep::RunContext&) {
        trace(user, text.data(), text.size());
      };
  }
  auto session = skep::embed::Session::create(std::move(wanted));
  if (!session) {
    failed(session.error());
    return nullptr;
  }
  return new skep_kernel{std::move(*session), nullptr};
}

skep_kernel* skep_kernel_connect(const char* directory) {
  last = {};
  auto daemon = skep::client::RemoteKernel::connect({directory == nullptr ? "" : directory, {}});
  if (!daemon) {
    failed(daemon.error());
    return nullptr;
  }
  return new skep_kernel{nullptr, std::move(*daemon)};
}

void skep_kernel_free(skep_kernel* kernel) { delete kernel; }

skep_object* skep_object_load(skep_kernel* kernel, const void* elf, size_t size, const char* name) {
  const ByteView bytes(static_cast<const std::byte*>(elf), size);
  return load(kernel, skep::loader::read_object(bytes, name == nullptr ? "object" : name));
}

skep_object* skep_object_load_file(skep_kernel* kernel, const char* path) {
  return load(kernel, skep::loader::open_object(path));
}

void skep_object_free(skep_object* object) { delete object; }

skep_program* skep_object_program(skep_object* object, const char* name) {
  const auto found = object->object.program(name == nullptr ? "" : name);
  if (!found) {
    failed(found.error());
    return nullptr;
  }
  if (const auto known = object->programs.find(*found); known != object->programs.end())
    return &known->second;
  skep::runtime::UserKernel& kernel = object->kernel->session->kernel();
  auto info = kernel.prog_info((*found)->handle.fd());
  if (!info) {
    failed(info.error());
    return nullptr;
  }
  skep_program program{object->kernel, *found, std::move(*info), {}};
  if (auto xdp = kernel.xdp_program((*found)->handle.fd())) program.xdp = *xdp;
  return &object->programs.emplace(*found, std::move(program)).first->second;
}

/// What the API knows of a map; `fd` is without a value where that failed.
static skep_map map_of(skep_kernel* of, int fd) {
  skep::Kernel& kernel = of->kernel();
  const auto info = kernel.map_info(fd);
  const auto cpus = kernel.possible_cpus();
  if (!info || !cpus) {
    failed(info ? cpus.error() : info.error());
    return {};
  }
  return {of, fd, info->key_size, user_value_size(*info, *cpus), {}};
}

skep_map* skep_object_map(skep_object* object, const char* name) {
  const auto found = object->object.map(name == nullptr ? "" : name);
  if (!found) {
    failed(found.error());
    return nullptr;
  }
  if (const auto known = object->maps.find(*found); known != object->maps.end()) return &known->second;
  skep_map map = map_of(object->kernel, (*found)->handle.fd());
  if (map.fd < 0) return nullptr;
  return &object->maps.emplace(*found, std::move(map)).first->second;
}

static skep_map* opened_map(skep_kernel* kernel, Result<skep::Handle> handle) {
  if (handle && handle->kind() != skep::ObjectKind::map) {
    failed(EINVAL, fmt::format("that is no map but a {}", skep::object_kind_name(handle->kind())));
    return nullptr;
  }
  if (!handle) {
    failed(handle.error());
    return nullptr;
  }
  skep_map map = map_of(kernel, handle->fd());
  if (map.fd < 0) return nullptr;
  map.opened = std::move(*handle);
  return new skep_map(std::move(map));
}

skep_map* skep_map_open(skep_kernel* kernel, const char* pin) {
  return opened_map(kernel, kernel->kernel().obj_get(pin));
}
skep_map* skep_map_open_id(skep_kernel* kernel, uint32_t id) {
  return opened_map(kernel, kernel->kernel().get_fd_by_id(skep::ObjectKind::map, id));
}
void skep_map_close(skep_map* map) { delete map; }

const char* skep_program_name(const skep_program* program) { return program->loaded->name.c_str(); }
uint32_t skep_program_id(const skep_program* program) { return program->info.id; }

uint32_t skep_map_key_size(const skep_map* map) { return map->key_size; }
uint32_t skep_map_value_size(const skep_map* map) { return map->value_size; }

static ByteView key_of(const skep_map* map, const void* key) {
  return {static_cast<const std::byte*>(key), key == nullptr ? 0 : map->key_size};
}

int skep_map_lookup(skep_map* map, const void* key, void* value) {
  return status(map->kernel->kernel().map_lookup_elem(map->fd, key_of(map, key),
                                                      {static_cast<std::byte*>(value), map->value_size}, 0));
}

int skep_map_update(skep_map* map, const void* key, const void* value, uint64_t flags) {
  return status(map->kernel->kernel().map_update_elem(
      map->fd, key_of(map, key), {static_cast<const std::byte*>(value), map->value_size}, flags));
}

int skep_map_delete(skep_map* map, const void* key) {
  return status(map->kernel->kernel().map_delete_elem(map->fd, key_of(map, key)));
}

int skep_map_next_key(skep_map* map, const void* key, void* next_key) {
  return status(map->kernel->kernel().map_get_next_key(map->fd, key_of(map, key),
                                                       {static_cast<std::byte*>(next_key), map->key_size}));
}

skep_worker* skep_worker_new(skep_kernel* kernel) {
  if (kernel->session == nullptr) {
    failed(EOPNOTSUPP, "workers run on a kernel of this process");
    return nullptr;
  }
  const auto cpu = kernel->session->take_cpu();
  if (!cpu) {
    failed(cpu.error());
    return nullptr;
  }
  auto* worker = new skep_worker{kernel, *cpu, {}, kernel->session->kernel().run_context(*cpu), {}, {}};
  worker->rxq.dev = &worker->device;
  skep::rcu::offline();
  return worker;
}

void skep_worker_free(skep_worker* worker) {
  if (worker == nullptr) return;
  skep::rcu::online();
  worker->kernel->session->release_cpu(worker->cpu);
  delete worker;
}

int skep_xdp_run(skep_worker* worker, const skep_program* program, struct skep_packet* packets,
                 size_t count) {
  if (program->xdp.entry.run == nullptr)
    return failed(EINVAL, program->loaded->name + " is not an XDP program");
  for (size_t i = 0; i < count; ++i)
    if (!in_bounds(packets[i])) return failed(EINVAL, fmt::format("packet {} is not inside its buffer", i));
  skep::rcu::online();
  for (size_t i = 0; i < count; ++i) {
    skep_packet& p = packets[i];
    skep::progs::XdpBuff xdp;
    xdp.data_hard_start = reinterpret_cast<std::byte*>(p.buffer);
    xdp.data = xdp.data_meta = reinterpret_cast<std::byte*>(p.data);
    xdp.data_end = reinterpret_cast<std::byte*>(p.data_end);
    xdp.frame_sz = static_cast<skep::u32>(p.size);
    xdp.rxq = &worker->rxq;
    worker->device.ifindex = p.ingress_ifindex;
    worker->rxq.queue_index = p.rx_queue_index;
    worker->run.redirect = {};
    worker->run.tail_calls = 0;
    worker->run.ctx = &xdp;
    p.verdict = static_cast<std::uint32_t>(program->xdp.entry(&xdp, &worker->run));
    p.redirect_ifindex = worker->run.redirect.ifindex;
    p.data = reinterpret_cast<unsigned char*>(xdp.data);
    p.data_end = reinterpret_cast<unsigned char*>(xdp.data_end);
  }
  skep::rcu::offline();
  return 0;
}

int skep_program_test_run(const skep_program* program, const void* data_in, size_t data_in_size,
                          void* data_out, size_t* data_out_size, uint32_t* retval) {
  skep::TestRunSpec spec;
  const auto* in = static_cast<const std::byte*>(data_in);
  spec.data_in.assign(in, in + data_in_size);
  spec.repeat = program->info.type == skep::ProgType::syscall ? 0 : 1;
  if (data_out != nullptr && data_out_size != nullptr)
    spec.data_out_size = static_cast<skep::u32>(std::min<size_t>(*data_out_size, UINT32_MAX));
  const auto ran = program->kernel->session->kernel().prog_test_run(program->loaded->handle.fd(), spec);
  if (!ran) return failed(ran.error());
  if (data_out != nullptr)
    std::copy(ran->data_out.begin(), ran->data_out.end(), static_cast<std::byte*>(data_out));
  if (data_out_size != nullptr) *data_out_size = ran->data_size_out;
  if (retval != nullptr) *retval = ran->retval;
  return 0;
}

}  // extern "C"
