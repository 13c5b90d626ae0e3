// class Kernel on top of bpf(2)'s own attrs: every method builds the attr of its command and hands it to a
// transport. LinuxKernel's transport is the system call, RemoteKernel's the daemon's socket; what the two
// share is here, so both mean the same by construction.
#pragma once
#include <unordered_map>

#include "client/attr.hpp"
#include "client/bpf_call.hpp"
#include "kernel/kernel.hpp"

namespace skep::client {

/// What /proc/self/fdinfo says of an object and no info structure does.
struct FdInfo {
  u64 memlock = 0;
  bool frozen = false;
  std::optional<ProgType> owner_prog_type;
  bool owner_jited = false;
};

class AttrKernel : public Kernel {
 public:
  Result<Handle> map_create(const MapSpec& spec) override;
  Result<void> map_lookup_elem(int map, ByteView key, MutBytes value, u64 flags) override;
  Result<void> map_update_elem(int map, ByteView key, ByteView value, u64 flags) override;
  Result<void> map_delete_elem(int map, ByteView key) override;
  Result<void> map_get_next_key(int map, ByteView key, MutBytes next_key) override;
  Result<void> map_lookup_and_delete_elem(int map, ByteView key, MutBytes value, u64 flags) override;
  Result<void> map_freeze(int map) override;
  Result<BatchResult> map_lookup_batch(int map, ByteView in_batch, MutBytes out_batch, MutBytes keys,
                                       MutBytes values, u32 max_count, u64 elem_flags,
                                       bool and_delete) override;
  Result<void> map_update_batch(int map, ByteView keys, ByteView values, u32 count, u64 elem_flags,
                                u32& done) override;
  Result<void> map_delete_batch(int map, ByteView keys, u32 count, u32& done) override;

  Result<Handle> prog_load(const ProgramSpec& spec, const LogRequest& want, Log* log) override;
  Result<TestRunResult> prog_test_run(int prog, const TestRunSpec& spec) override;
  Result<void> prog_bind_map(int prog, int map) override;
  Result<Handle> btf_load(ByteView btf, const LogRequest& want, Log* log) override;

  Result<u32> get_next_id(ObjectKind kind, u32 start_id) override;
  Result<Handle> get_fd_by_id(ObjectKind kind, u32 id) override;
  Result<ProgramInfo> prog_info(int prog) override;
  Result<MapInfo> map_info(int map) override;
  Result<BtfInfo> btf_info(int btf) override;
  Result<LinkInfo> link_info(int link) override;

  Result<void> obj_pin(int object, ObjectKind kind, const std::string& path) override;
  Result<Handle> obj_get(const std::string& path) override;

  Result<Handle> link_create(const LinkSpec& spec) override;
  Result<void> link_update(int link, const LinkUpdate& update) override;
  Result<void> link_detach(int link) override;
  Result<void> prog_attach(const ProgAttach& attach) override;
  Result<void> prog_detach(const ProgAttach& detach) override;
  Result<ProgQueryResult> prog_query(const ProgQuery& query) override;

 protected:
  /// Carries the call out. A new descriptor, or 0; errors are the call's errno. The attr and the memory of
  /// `out` segments are as the kernel left them, also after an error.
  virtual Result<int> bpf(const BpfCall& call) = 0;
  virtual Result<FdInfo> fd_info(ObjectKind kind, int fd) = 0;
  /// What kind of object a descriptor just got from BPF_OBJ_GET is.
  virtual Result<ObjectKind> kind_of(int fd) = 0;

  void close(ObjectKind kind, int fd) noexcept override;
  Handle handle(ObjectKind kind, int fd);

 private:
  Result<void> attach_call(Cmd cmd, const ProgAttach& attach);
  struct ElementSizes {
    u32 key = 0;
    u64 value = 0;                                ///< as user space sees it
    std::optional<ValueDescriptor> descriptor{};  ///< in each value
    bool machine_descriptor = false;              ///< in each value, too
  };
  Result<ElementSizes> element_sizes(int map);
  Result<void> check_element(int map, std::size_t key, std::optional<std::size_t> value);
  /// The descriptors that stand in values go with the call.
  Result<void> note_descriptors(BpfCall& call, int map, ByteView values);
  Result<void> element_call(Cmd cmd, int map, ByteView key, u64 flags, MutBytes out_value, ByteView in_value);
  Result<void> check_batch(int map, u32 count, std::size_t keys, std::optional<std::size_t> values);
  Result<void> get_info(BpfCall& call, attr::GetInfo& attr, int fd, MutBytes info);

  /// Of maps whose Handle we gave out: asked once, since every element call needs them.
  std::unordered_map<int, std::optional<ElementSizes>> sizes_;
};

}  // namespace skep::client
