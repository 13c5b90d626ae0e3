// A Kernel that records what load() asks of it and refuses what a test tells it to refuse.
#pragma once
#include <map>
#include <set>
#include <string>
#include <vector>

#include "kernel/kernel.hpp"

namespace skep::loader::test {

class FakeKernel : public Kernel {
 public:
  struct Map {
    MapSpec spec;
    std::map<std::string, std::string> elements;
    bool frozen = false;
  };
  std::map<int, Map> maps;            ///< by descriptor, also those closed again
  std::vector<ProgramSpec> programs;  ///< every attempt
  std::vector<LogRequest> log_requests;
  std::vector<std::string> calls;  ///< in order: "map_create hello.bss", ...
  std::vector<std::byte> btf;
  std::map<std::string, int> pins;  ///< path -> descriptor
  std::set<int> open;               ///< descriptors not closed yet
  std::string pin_dir;              ///< the real directory; pins are files there
  std::set<std::string> refuse;     ///< "map_create NAME", "prog_load NAME", "btf_load", "obj_pin PATH", ...
  int refuse_code = EACCES;
  std::string log_text = "0: R1=ctx() R10=fp0\nnot today\n";

  std::string_view kernel_name() const override { return "fake"; }
  Result<Handle> map_create(const MapSpec& spec) override;
  Result<void> map_lookup_elem(int, ByteView, MutBytes, u64) override { return fail(ENOENT); }
  Result<void> map_update_elem(int map, ByteView key, ByteView value, u64) override;
  Result<void> map_delete_elem(int, ByteView) override { return fail(ENOENT); }
  Result<void> map_get_next_key(int, ByteView, MutBytes) override { return fail(ENOENT); }
  Result<void> map_lookup_and_delete_elem(int, ByteView, MutBytes, u64) override { return fail(ENOENT); }
  Result<void> map_freeze(int map) override;
  Result<BatchResult> map_lookup_batch(int, ByteView, MutBytes, MutBytes, MutBytes, u32, u64, bool) override {
    return fail(ENOTSUP);
  }
  Result<void> map_update_batch(int, ByteView, ByteView, u32, u64, u32&) override { return fail(ENOTSUP); }
  Result<void> map_delete_batch(int, ByteView, u32, u32&) override { return fail(ENOTSUP); }
  Result<MapMemory> map_memory(int) override { return fail(ENOTSUP); }
  Result<Handle> prog_load(const ProgramSpec& spec, const LogRequest& want, Log* log) override;
  Result<TestRunResult> prog_test_run(int, const TestRunSpec&) override { return fail(ENOTSUP); }
  Result<void> prog_bind_map(int prog, int map) override;
  Result<Handle> btf_load(ByteView bytes, const LogRequest&, Log*) override;
  Result<u32> get_next_id(ObjectKind, u32) override { return fail(ENOENT); }
  Result<Handle> get_fd_by_id(ObjectKind, u32) override { return fail(ENOENT); }
  Result<u32> possible_cpus() override { return 3U; }
  Result<ProgramInfo> prog_info(int) override { return fail(ENOTSUP); }
  Result<MapInfo> map_info(int map) override;
  Result<BtfInfo> btf_info(int) override { return fail(ENOTSUP); }
  Result<LinkInfo> link_info(int) override { return fail(ENOTSUP); }
  Result<void> obj_pin(int object, ObjectKind kind, const std::string& path) override;
  Result<Handle> obj_get(const std::string& path) override;
  Result<std::string> pin_directory() override { return pin_dir; }
  Result<Handle> link_create(const LinkSpec&) override { return fail(ENOTSUP); }
  Result<void> link_update(int, const LinkUpdate&) override { return fail(ENOTSUP); }
  Result<void> link_detach(int) override { return fail(ENOTSUP); }
  Result<void> xdp_attach(const XdpAttach&) override { return fail(ENOTSUP); }
  Result<std::vector<XdpAttachment>> xdp_query() override { return fail(ENOTSUP); }
  Result<std::vector<TcAttachment>> tc_query() override { return fail(ENOTSUP); }
  Result<ProgQueryResult> prog_query(const ProgQuery&) override { return fail(ENOTSUP); }
  Result<UniqueFd> trace_pipe() override { return fail(ENOTSUP); }
  Result<void> set_stats_enabled(bool) override { return fail(ENOTSUP); }
  Result<SymbolTable> symbols() override {
    return SymbolTable{.symbols = {{0xffffffff81000000, "skep_known_symbol"}}};
  }

  /// The map of that kernel-side name.
  const Map* map(const std::string& name) const {
    for (const auto& [fd, map] : maps) {
      if (map.spec.name == name) return &map;
    }
    return nullptr;
  }
  int fd_of(const std::string& name) const {
    for (const auto& [fd, map] : maps) {
      if (map.spec.name == name) return fd;
    }
    return -1;
  }

 protected:
  void close(ObjectKind, int fd) noexcept override { open.erase(fd); }

 private:
  bool refused(const std::string& call) {
    calls.push_back(call);
    return refuse.contains(call);
  }
  Handle hand_out(ObjectKind kind) {
    open.insert(next_fd_);
    return {*this, kind, next_fd_++};
  }
  int next_fd_ = 100;
};

}  // namespace skep::loader::test
