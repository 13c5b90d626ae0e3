// skep as a C++ library: owning wrappers over skep.h, header only. Every function that can fail returns
// an Expected<T>; a Failure is an errno and one line.
#pragma once
#include <skep/skep.h>

#include <cerrno>
#include <expected>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace skep::embed {

struct Failure {
  int code = 0;      ///< positive errno, 0 where only the text is known
  std::string what;  ///< one line
  std::string log;   ///< the verifier's, if a program was refused
};
template <class T>
using Expected = std::expected<T, Failure>;

namespace detail {
inline std::unexpected<Failure> failure(int code = 0) {
  return std::unexpected(Failure{code < 0 ? -code : code, skep_error(), skep_verifier_log()});
}
inline Expected<void> check(int result) {
  if (result < 0) return failure(result);
  return {};
}
struct Free {
  void operator()(skep_kernel* k) const { skep_kernel_free(k); }
  void operator()(skep_object* o) const { skep_object_free(o); }
  void operator()(skep_worker* w) const { skep_worker_free(w); }
  void operator()(skep_map* m) const { skep_map_close(m); }
  void operator()(skep_ring* r) const { skep_ring_close(r); }
  void operator()(skep_events* e) const { skep_events_close(e); }
  void operator()(skep_code* c) const { skep_code_free(c); }
};
}  // namespace detail

/// A map of an Object; keys and values are trivially copyable C++ types of the map's sizes.
class Map {
 public:
  explicit Map(skep_map* map) : map_(map) {}
  [[nodiscard]] uint32_t key_size() const { return skep_map_key_size(map_); }
  [[nodiscard]] uint32_t value_size() const { return skep_map_value_size(map_); }

  template <class Value, class Key>
    requires std::is_trivially_copyable_v<Key> && std::is_trivially_copyable_v<Value>
  [[nodiscard]] Expected<Value> lookup(const Key& key) const {
    Value value;
    if (sizeof(Key) != key_size() || sizeof(Value) != value_size()) return sizes_differ();
    if (const int r = skep_map_lookup(map_, &key, &value); r < 0) return detail::failure(r);
    return value;
  }
  template <class Key, class Value>
    requires std::is_trivially_copyable_v<Key> && std::is_trivially_copyable_v<Value>
  Expected<void> update(const Key& key, const Value& value, uint64_t flags = 0) {
    if (sizeof(Key) != key_size() || sizeof(Value) != value_size()) return sizes_differ();
    return detail::check(skep_map_update(map_, &key, &value, flags));
  }
  template <class Key>
    requires std::is_trivially_copyable_v<Key>
  Expected<void> erase(const Key& key) {
    if (sizeof(Key) != key_size()) return sizes_differ();
    return detail::check(skep_map_delete(map_, &key));
  }
  [[nodiscard]] skep_map* get() const { return map_; }

 private:
  static std::unexpected<Failure> sizes_differ() {
    return std::unexpected(
        Failure{EINVAL, "the C++ types have other sizes than the map's key and value", {}});
  }
  skep_map* map_;
};

/// A map that was opened by its pin or id.
class OpenedMap : public Map {
 public:
  explicit OpenedMap(skep_map* map) : Map(map), owner_(map) {}

 private:
  std::unique_ptr<skep_map, detail::Free> owner_;
};

/// Reads a ring buffer; see skep_ring_open().
class RingBuffer {
 public:
  static Expected<RingBuffer> open(const Map& map) {
    if (auto* r = skep_ring_open(map.get())) return RingBuffer(r);
    return detail::failure();
  }
  /// Readable while there may be something new.
  [[nodiscard]] int fd() const { return skep_ring_fd(ring_.get()); }
  using Visit = std::function<void(std::span<const std::byte> record)>;
  /// Calls `visit` for each record; how many there were.
  Expected<uint64_t> consume(Visit visit) { return done(skep_ring_consume(ring_.get(), call, &visit)); }
  /// The same after waiting at most `timeout_ms` (-1: for ever).
  Expected<uint64_t> poll(int timeout_ms, Visit visit) {
    return done(skep_ring_poll(ring_.get(), timeout_ms, call, &visit));
  }

 private:
  explicit RingBuffer(skep_ring* ring) : ring_(ring) {}
  static int call(void* visit, const void* data, size_t size) {
    (*static_cast<Visit*>(visit))(std::span(static_cast<const std::byte*>(data), size));
    return 0;
  }
  static Expected<uint64_t> done(int64_t count) {
    if (count < 0) return detail::failure(static_cast<int>(count));
    return static_cast<uint64_t>(count);
  }
  std::unique_ptr<skep_ring, detail::Free> ring_;
};

/// Reads a perf_event_array; see skep_events_open().
class PerfBuffer {
 public:
  static Expected<PerfBuffer> open(const Map& map, uint32_t pages = 16) {
    if (auto* e = skep_events_open(map.get(), pages)) return PerfBuffer(e);
    return detail::failure();
  }
  [[nodiscard]] int fd() const { return skep_events_fd(events_.get()); }
  using Visit = std::function<void(const skep_event& event)>;
  /// Calls `visit` for each event, and for each gap where some were lost; how many events.
  Expected<uint64_t> consume(Visit visit) { return done(skep_events_consume(events_.get(), call, &visit)); }
  Expected<uint64_t> poll(int timeout_ms, Visit visit) {
    return done(skep_events_poll(events_.get(), timeout_ms, call, &visit));
  }

 private:
  explicit PerfBuffer(skep_events* events) : events_(events) {}
  static void call(void* visit, const skep_event* event) { (*static_cast<Visit*>(visit))(*event); }
  static Expected<uint64_t> done(int64_t count) {
    if (count < 0) return detail::failure(static_cast<int>(count));
    return static_cast<uint64_t>(count);
  }
  std::unique_ptr<skep_events, detail::Free> events_;
};

class Program {
 public:
  explicit Program(skep_program* program) : program_(program) {}
  [[nodiscard]] std::string_view name() const { return skep_program_name(program_); }
  [[nodiscard]] uint32_t id() const { return skep_program_id(program_); }
  [[nodiscard]] skep_program* get() const { return program_; }

 private:
  skep_program* program_;
};

/// What a thread needs to run programs.
/// Bare instructions, eight bytes each; see skep_code_load() and skep_code_load_unverified().
class Code {
 public:
  explicit Code(skep_code* code) : code_(code) {}
  [[nodiscard]] const skep_code* get() const { return code_.get(); }

 private:
  std::unique_ptr<skep_code, detail::Free> code_;
};

class Worker {
 public:
  explicit Worker(skep_worker* worker) : worker_(worker) {}
  /// Runs an XDP program on packets, in place; see skep_xdp_run().
  Expected<void> run(Program program, std::span<skep_packet> packets) {
    return detail::check(skep_xdp_run(worker_.get(), program.get(), packets.data(), packets.size()));
  }
  /// Runs bare instructions on memory, in place: R0.
  Expected<uint64_t> run(const Code& code, std::span<std::byte> memory) {
    uint64_t r0 = 0;
    if (const int r = skep_code_run(worker_.get(), code.get(), memory.data(), memory.size(), &r0); r < 0)
      return detail::failure(r);
    return r0;
  }

 private:
  std::unique_ptr<skep_worker, detail::Free> worker_;
};

class Object {
 public:
  explicit Object(skep_object* object) : object_(object) {}
  [[nodiscard]] Expected<Program> program(const std::string& name) const {
    if (auto* p = skep_object_program(object_.get(), name.c_str())) return Program(p);
    return detail::failure(ENOENT);
  }
  [[nodiscard]] Expected<Map> map(const std::string& name) const {
    if (auto* m = skep_object_map(object_.get(), name.c_str())) return Map(m);
    return detail::failure(ENOENT);
  }

 private:
  std::unique_ptr<skep_object, detail::Free> object_;
};

/// One eBPF system in this process. Outlives its objects and workers.
class Kernel {
 public:
  struct Options {
    bool no_jit = false;
    uint32_t cpus = 0;
    std::function<void(std::string_view)> trace;
  };
  static Expected<Kernel> create() { return create(Options{}); }
  static Expected<Kernel> create(Options options) {
    Kernel kernel;
    kernel.trace_ = std::make_unique<std::function<void(std::string_view)>>(std::move(options.trace));
    skep_options c{};
    c.size = sizeof c;
    c.no_jit = options.no_jit ? 1 : 0;
    c.cpus = options.cpus;
    if (*kernel.trace_) {
      c.trace_user = kernel.trace_.get();
      c.trace = [](void* user, const char* text, size_t length) {
        (*static_cast<std::function<void(std::string_view)>*>(user))(std::string_view(text, length));
      };
    }
    kernel.kernel_.reset(skep_kernel_new(&c));
    if (!kernel.kernel_) return detail::failure();
    return kernel;
  }
  /// A running daemon's: its maps can be opened. `directory` empty: as `skep` finds it.
  static Expected<Kernel> connect(const std::string& directory = {}) {
    Kernel kernel;
    kernel.kernel_.reset(skep_kernel_connect(directory.empty() ? nullptr : directory.c_str()));
    if (!kernel.kernel_) return detail::failure();
    return kernel;
  }
  /// A map by its pin.
  [[nodiscard]] Expected<OpenedMap> open_map(const std::string& pin) {
    if (auto* m = skep_map_open(kernel_.get(), pin.c_str())) return OpenedMap(m);
    return detail::failure();
  }
  [[nodiscard]] Expected<OpenedMap> open_map(uint32_t id) {
    if (auto* m = skep_map_open_id(kernel_.get(), id)) return OpenedMap(m);
    return detail::failure();
  }
  [[nodiscard]] Expected<Object> load(std::span<const std::byte> elf, const std::string& name = "object") {
    if (auto* o = skep_object_load(kernel_.get(), elf.data(), elf.size(), name.c_str())) return Object(o);
    return detail::failure();
  }
  [[nodiscard]] Expected<Object> load_file(const std::string& path) {
    if (auto* o = skep_object_load_file(kernel_.get(), path.c_str())) return Object(o);
    return detail::failure();
  }
  [[nodiscard]] Expected<Code> code(std::span<const unsigned char> insns) {
    if (auto* c = skep_code_load(kernel_.get(), insns.data(), insns.size())) return Code(c);
    return detail::failure();
  }
  /// NOT VERIFIED: only for instructions that you trust as your own machine code. They may never end.
  [[nodiscard]] Expected<Code> code_unverified(std::span<const unsigned char> insns, uint32_t prog_type = 0) {
    if (auto* c = skep_code_load_unverified(kernel_.get(), insns.data(), insns.size(), prog_type))
      return Code(c);
    return detail::failure();
  }
  [[nodiscard]] Expected<Worker> worker() {
    if (auto* w = skep_worker_new(kernel_.get())) return Worker(w);
    return detail::failure();
  }

 private:
  Kernel() = default;
  std::unique_ptr<std::function<void(std::string_view)>> trace_;
  std::unique_ptr<skep_kernel, detail::Free> kernel_;
};

}  // namespace skep::embed
