// AttrKernel: the commands on programs, BTF, pins and links.
#include <sys/mman.h>

#include <fmt/format.h>

#include "base/limits.hpp"
#include "client/attr_kernel.hpp"

namespace skep::client {

namespace {

/// The caller's log buffer: mapped, not cleared, since it may be large and hardly used.
Result<Mapping> log_buffer(const LogRequest& want) {
  if (want.size == 0) return Mapping{};
  if (want.size > limits::max_log_size) return fail(EINVAL, "the log buffer is too large");
  return Mapping::map(want.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0,
                      "the log buffer");
}

void take_log(Log* log, const Mapping& buffer, u32 true_size) {
  if (log == nullptr) return;
  const auto* text = reinterpret_cast<const char*>(buffer.data());
  log->text.assign(text == nullptr ? "" : text, text == nullptr ? 0 : ::strnlen(text, buffer.size()));
  log->true_size = true_size;
}

u64 records(BpfCall& call, const InfoRecords& from, u32& record_size, u32& count) {
  record_size = from.record_size;
  count = from.count();
  return call.in(from.bytes);
}

/// Descriptors that instructions name: map references of ld_imm64.
void note_insn_fds(BpfCall& call, const std::vector<isa::Insn>& insns) {
  constexpr u8 ld_imm64 = 0x18;
  for (std::size_t i = 0; i < insns.size(); ++i) {
    if (insns[i].code != ld_imm64) continue;
    if (insns[i].src == uapi::PSEUDO_MAP_FD || insns[i].src == uapi::PSEUDO_MAP_VALUE)
      (void)call.fd(insns[i].imm);
    ++i;  // its second half
  }
}

}  // namespace

Result<Handle> AttrKernel::prog_load(const ProgramSpec& spec, const LogRequest& want, Log* log) {
  attr::ProgLoad a{};
  BpfCall call(Cmd::prog_load, a);
  if (spec.name.size() >= sizeof a.prog_name)
    return fail(EINVAL,
                fmt::format("the name '{}' is longer than {} characters", spec.name, sizeof a.prog_name - 1));
  const Mapping buffer = TRY(log_buffer(want));
  a.prog_type = static_cast<u32>(spec.type);
  a.insn_cnt = static_cast<u32>(spec.insns.size());
  a.insns = call.in(std::as_bytes(std::span(spec.insns)));
  if (spec.license) a.license = call.string(*spec.license);
  a.log_level = want.level;
  a.log_size = want.size;
  a.log_buf = call.out(buffer.bytes());
  a.kern_version = spec.kern_version;
  a.prog_flags = spec.flags;
  std::memcpy(a.prog_name, spec.name.data(), spec.name.size());
  a.prog_ifindex = spec.ifindex;
  a.expected_attach_type = static_cast<u32>(spec.expected_attach_type);
  a.prog_btf_fd = call.fd_or_zero(spec.btf_fd);
  a.func_info = records(call, spec.func_info, a.func_info_rec_size, a.func_info_cnt);
  a.line_info = records(call, spec.line_info, a.line_info_rec_size, a.line_info_cnt);
  a.core_relos = records(call, spec.core_relos, a.core_relo_rec_size, a.core_relo_cnt);
  a.attach_btf_id = spec.attach_btf_id;
  a.attach_prog_fd = call.fd_or_zero(spec.attach_prog_fd);
  a.fd_array = call.in(std::as_bytes(std::span(spec.fd_array)));
  for (const int fd : spec.fd_array) (void)call.fd(fd);
  note_insn_fds(call, spec.insns);
  const auto fd = bpf(call);
  take_log(log, buffer, a.log_true_size);
  if (!fd) return std::unexpected(fd.error());
  return handle(ObjectKind::prog, *fd);
}

Result<TestRunResult> AttrKernel::prog_test_run(int prog, const TestRunSpec& spec) {
  TestRunResult result;
  result.data_out.resize(spec.data_out_size);
  result.ctx_out.resize(spec.ctx_out_size);
  attr::TestRun a{};
  BpfCall call(Cmd::prog_test_run, a);
  a.prog_fd = call.fd(prog);
  a.data_size_in = static_cast<u32>(spec.data_in.size());
  a.data_in = call.in(spec.data_in);
  a.data_size_out = spec.data_out_size;
  a.data_out = call.out(result.data_out);
  a.ctx_size_in = static_cast<u32>(spec.ctx_in.size());
  a.ctx_in = call.in(spec.ctx_in);
  a.ctx_size_out = spec.ctx_out_size;
  a.ctx_out = call.out(result.ctx_out);
  a.repeat = spec.repeat;
  a.flags = spec.flags;
  a.cpu = spec.cpu;
  a.batch_size = spec.batch_size;
  TRY(bpf(call));
  result.retval = a.retval;
  result.duration = a.duration;
  result.data_size_out = a.data_size_out;
  result.ctx_size_out = a.ctx_size_out;
  result.data_out.resize(std::min<std::size_t>(a.data_size_out, spec.data_out_size));
  result.ctx_out.resize(std::min<std::size_t>(a.ctx_size_out, spec.ctx_out_size));
  return result;
}

Result<void> AttrKernel::prog_bind_map(int prog, int map) {
  attr::ProgBindMap a{};
  BpfCall call(Cmd::prog_bind_map, a);
  a.prog_fd = call.fd(prog);
  a.map_fd = call.fd(map);
  TRY(bpf(call));
  return {};
}

Result<Handle> AttrKernel::btf_load(ByteView btf, const LogRequest& want, Log* log) {
  attr::BtfLoad a{};
  BpfCall call(Cmd::btf_load, a);
  const Mapping buffer = TRY(log_buffer(want));
  a.btf = call.in(btf);
  a.btf_size = static_cast<u32>(btf.size());
  a.btf_log_buf = call.out(buffer.bytes());
  a.btf_log_size = want.size;
  a.btf_log_level = want.level;
  const auto fd = bpf(call);
  take_log(log, buffer, a.btf_log_true_size);
  if (!fd) return std::unexpected(fd.error());
  return handle(ObjectKind::btf, *fd);
}

Result<void> AttrKernel::obj_pin(int object, ObjectKind, const std::string& path) {
  attr::Object a{};
  BpfCall call(Cmd::obj_pin, a);
  a.pathname = call.string(path);
  a.bpf_fd = call.fd(object);
  TRY(bpf(call));
  return {};
}

Result<Handle> AttrKernel::obj_get(const std::string& path) {
  attr::Object a{};
  BpfCall call(Cmd::obj_get, a);
  a.pathname = call.string(path);
  UniqueFd fd(TRY(bpf(call)));
  const ObjectKind kind = TRY(kind_of(fd.get()));
  return handle(kind, fd.release());
}

Result<Handle> AttrKernel::link_create(const LinkSpec& spec) {
  constexpr u32 by_id = 1u << 5;  // BPF_F_ID: `relative` is an id
  attr::LinkCreate a{};
  BpfCall call(Cmd::link_create, a);
  a.prog_fd = call.fd(spec.prog_fd);
  a.target = spec.target_ifindex != 0 ? spec.target_ifindex : call.fd(spec.target_fd);
  a.attach_type = static_cast<u32>(spec.attach_type);
  a.flags = spec.flags;
  a.relative = (spec.flags & by_id) != 0 ? spec.relative_id : call.fd_or_zero(spec.relative_fd);
  a.expected_revision = spec.expected_revision;
  call.acts_on_interfaces();
  return handle(ObjectKind::link, TRY(bpf(call)));
}

Result<void> AttrKernel::link_update(int link, const LinkUpdate& update) {
  attr::LinkUpdate a{};
  BpfCall call(Cmd::link_update, a);
  a.link_fd = call.fd(link);
  a.new_prog_fd = call.fd(update.new_prog_fd);
  a.flags = update.flags;
  a.old_prog_fd = call.fd_or_zero(update.old_prog_fd);
  TRY(bpf(call));
  return {};
}

Result<void> AttrKernel::link_detach(int link) {
  attr::LinkDetach a{};
  BpfCall call(Cmd::link_detach, a);
  a.link_fd = call.fd(link);
  TRY(bpf(call));
  return {};
}

Result<void> AttrKernel::attach_call(Cmd cmd, const ProgAttach& attach) {
  attr::ProgAttach a{};
  BpfCall call(cmd, a);
  a.target = attach.target_ifindex != 0 ? attach.target_ifindex : call.fd(attach.target_fd);
  a.prog_fd = call.fd_or_zero(attach.prog_fd);
  a.attach_type = static_cast<u32>(attach.attach_type);
  a.flags = attach.flags;
  a.replace_fd = call.fd_or_zero(attach.replace_fd);
  a.relative = (attach.flags & uapi::F_ID) != 0 ? attach.relative_id : call.fd_or_zero(attach.relative_fd);
  a.expected_revision = attach.expected_revision;
  call.acts_on_interfaces();
  TRY(bpf(call));
  return {};
}

Result<void> AttrKernel::prog_attach(const ProgAttach& attach) {
  return attach_call(Cmd::prog_attach, attach);
}

Result<void> AttrKernel::prog_detach(const ProgAttach& detach) {
  return attach_call(Cmd::prog_detach, detach);
}

Result<ProgQueryResult> AttrKernel::prog_query(const ProgQuery& query) {
  ProgQueryResult result;
  std::vector<u32> attach_flags;
  for (u32 room = 64;; room *= 2) {
    result.prog_ids.assign(room, 0);
    result.link_ids.assign(room, 0);
    attr::ProgQuery a{};
    BpfCall call(Cmd::prog_query, a);
    a.target = query.target_ifindex != 0 ? query.target_ifindex : call.fd(query.target_fd);
    a.attach_type = static_cast<u32>(query.attach_type);
    a.query_flags = query.query_flags;
    a.prog_ids = call.out(std::as_writable_bytes(std::span(result.prog_ids)));
    // Only the multi-program hooks of interfaces know links; the others refuse the field.
    const bool links =
        query.attach_type == AttachType::tcx_ingress || query.attach_type == AttachType::tcx_egress ||
        query.attach_type == AttachType::netkit_primary || query.attach_type == AttachType::netkit_peer;
    if (links) a.link_ids = call.out(std::as_writable_bytes(std::span(result.link_ids)));
    a.count = room;
    call.acts_on_interfaces();
    const auto done = bpf(call);
    if (!done && done.error().code == ENOSPC && room < (1u << 16)) continue;
    if (!done) return std::unexpected(done.error());
    result.attach_flags = a.attach_flags;
    result.revision = a.revision;
    result.prog_ids.resize(std::min(a.count, room));
    result.link_ids.resize(links ? std::min(a.count, room) : 0);
    return result;
  }
}

}  // namespace skep::client
