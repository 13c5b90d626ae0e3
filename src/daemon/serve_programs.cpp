// bpf(2)'s commands on programs, BTF and pins.
#include <climits>

#include "base/limits.hpp"
#include "daemon/attr_io.hpp"
#include "runtime/trace.hpp"

namespace skep::daemon {

namespace {

/// What the caller wants logged; the buffer and its size must both be there or both not.
Result<LogRequest> log_request(u32 level, u32 size, u64 buffer) {
  if ((size == 0) != (buffer == 0) || size > limits::max_log_size)
    return fail(EINVAL, "the log buffer and its size");
  return LogRequest{level, size};
}

Result<void> give_log(Caller& caller, u64 buffer, u32 size, const Log& log) {
  if (size == 0) return {};
  std::string text = log.text.substr(0, size - 1);
  text.push_back('\0');
  return caller.write(buffer, bytes_of(std::string_view(text)));
}

Result<InfoRecords> records_at(Caller& caller, u64 address, u32 record_size, u32 count) {
  InfoRecords records;
  records.record_size = record_size;
  if (count == 0) return records;
  if (record_size == 0) return fail(EINVAL, "records of no size");
  const ByteView bytes = TRY(caller.read(address, u64{record_size} * count));
  records.bytes.assign(bytes.begin(), bytes.end());
  return records;
}

/// The instructions, with the Kernel's numbers where they name the caller's descriptors. A number that is
/// none of the caller's becomes -1, for the verifier to refuse in its own words.
Result<std::vector<isa::Insn>> insns_at(Caller& caller, u64 address, u32 count) {
  constexpr u8 ld_imm64 = 0x18;
  if (count > limits::max_insns) return fail(E2BIG, "more instructions than a program may have");
  std::vector<isa::Insn> insns(count);
  if (count == 0) return insns;
  const ByteView bytes = TRY(caller.read(address, u64{count} * sizeof(isa::Insn)));
  std::memcpy(insns.data(), bytes.data(), bytes.size());
  for (std::size_t i = 0; i < insns.size(); ++i) {
    if (insns[i].code != ld_imm64) continue;
    if (insns[i].src == uapi::PSEUDO_MAP_FD || insns[i].src == uapi::PSEUDO_MAP_VALUE) {
      const auto object = caller.object(static_cast<u32>(insns[i].imm));
      insns[i].imm = object ? object->fd : -1;
    }
    ++i;  // its second half
  }
  return insns;
}

Result<std::vector<int>> fd_array_at(Caller& caller, u64 address, u32 count) {
  constexpr u64 max_entries = 4096;
  std::vector<int> fds;
  if (address == 0) return fds;
  const u64 entries = count != 0 ? count : std::min(caller.readable(address) / sizeof(int), max_entries);
  if (entries > max_entries) return fail(E2BIG, "a larger fd_array than a program can use");
  const ByteView bytes = TRY(caller.read(address, entries * sizeof(int)));
  for (std::size_t i = 0; i < entries; ++i) {
    const auto object = caller.object(load<u32>(bytes.data() + i * sizeof(int)));
    fds.push_back(object ? object->fd : -1);
  }
  return fds;
}

Result<void> load_program(Kernel& kernel, Caller& caller, attr::ProgLoad& a) {
  ProgramSpec spec;
  spec.type = static_cast<ProgType>(a.prog_type);
  spec.expected_attach_type = static_cast<AttachType>(a.expected_attach_type);
  spec.name = TRY(name_of(a.prog_name));
  spec.insns = TRY(insns_at(caller, a.insns, a.insn_cnt));
  if (a.license != 0) spec.license = TRY(string_at(caller, a.license, 127));
  spec.flags = a.prog_flags;
  spec.kern_version = a.kern_version;
  spec.ifindex = a.prog_ifindex;
  spec.btf_fd = TRY(optional_object(caller, a.prog_btf_fd, ObjectKind::btf));
  spec.func_info = TRY(records_at(caller, a.func_info, a.func_info_rec_size, a.func_info_cnt));
  spec.line_info = TRY(records_at(caller, a.line_info, a.line_info_rec_size, a.line_info_cnt));
  spec.core_relos = TRY(records_at(caller, a.core_relos, a.core_relo_rec_size, a.core_relo_cnt));
  spec.attach_btf_id = a.attach_btf_id;
  if (a.attach_prog_fd != 0) spec.attach_prog_fd = TRY(caller.object(a.attach_prog_fd)).fd;
  spec.fd_array = TRY(fd_array_at(caller, a.fd_array, a.fd_array_cnt));
  if (a.prog_token_fd != 0) return fail(EINVAL, "prog_token_fd is not supported");
  const LogRequest want = TRY(log_request(a.log_level, a.log_size, a.log_buf));
  Log log;
  auto program = kernel.prog_load(spec, want, &log);
  a.log_true_size = log.true_size;
  TRY(give_log(caller, a.log_buf, a.log_size, log));
  if (!program) return std::unexpected(program.error());
  return caller.hand_out(std::move(*program));
}

Result<void> load_btf(Kernel& kernel, Caller& caller, attr::BtfLoad& a) {
  if (a.btf_size > limits::btf_max_size) return fail(E2BIG, "more BTF than there may be");
  const ByteView btf = a.btf_size == 0 ? ByteView{} : TRY(caller.read(a.btf, a.btf_size));
  const LogRequest want = TRY(log_request(a.btf_log_level, a.btf_log_size, a.btf_log_buf));
  Log log;
  auto handle = kernel.btf_load(btf, want, &log);
  a.btf_log_true_size = log.true_size;
  TRY(give_log(caller, a.btf_log_buf, a.btf_log_size, log));
  if (!handle) return std::unexpected(handle.error());
  return caller.hand_out(std::move(*handle));
}

Result<void> test_run(Kernel& kernel, Caller& caller, attr::TestRun& a) {
  const int prog = TRY(object_of(caller, a.prog_fd, ObjectKind::prog));
  if (a.data_size_out > limits::max_request_bytes || a.ctx_size_out > limits::max_request_bytes)
    return fail(E2BIG, "more bytes than one call may move");
  TestRunSpec spec;
  if (a.data_size_in != 0) {
    const ByteView data = TRY(caller.read(a.data_in, a.data_size_in));
    spec.data_in.assign(data.begin(), data.end());
  }
  if (a.ctx_size_in != 0) {
    const ByteView ctx = TRY(caller.read(a.ctx_in, a.ctx_size_in));
    spec.ctx_in.assign(ctx.begin(), ctx.end());
  }
  spec.data_out_size = a.data_size_out;
  spec.ctx_out_size = a.ctx_size_out;
  spec.repeat = a.repeat;
  spec.flags = a.flags;
  spec.cpu = a.cpu;
  spec.batch_size = a.batch_size;
  spec.interrupted = [&caller] { return caller.interrupted(); };
  const auto [comm, pid] = caller.task();
  const runtime::TraceRing::ActAs client(comm, pid);
  const auto result = TRY(kernel.prog_test_run(prog, spec));
  a.retval = result.retval;
  a.duration = result.duration;
  a.data_size_out = result.data_size_out;
  a.ctx_size_out = result.ctx_size_out;
  if (!result.data_out.empty()) TRY(caller.write(a.data_out, result.data_out));
  if (!result.ctx_out.empty()) TRY(caller.write(a.ctx_out, result.ctx_out));
  return {};
}

Result<void> bind_map(Kernel& kernel, Caller& caller, attr::ProgBindMap& a) {
  if (a.flags != 0) return fail(EINVAL, "flags of BPF_PROG_BIND_MAP");
  return kernel.prog_bind_map(TRY(object_of(caller, a.prog_fd, ObjectKind::prog)),
                              TRY(object_of(caller, a.map_fd, ObjectKind::map)));
}

Result<void> pin(Kernel& kernel, Caller& caller, attr::Object& a) {
  if (a.file_flags != 0 || a.path_fd != 0) return fail(EINVAL, "flags of BPF_OBJ_PIN are not supported");
  const auto object = TRY(caller.object(a.bpf_fd));
  return kernel.obj_pin(object.fd, object.kind, TRY(string_at(caller, a.pathname, PATH_MAX)));
}

Result<void> get_pinned(Kernel& kernel, Caller& caller, attr::Object& a) {
  if (a.bpf_fd != 0 || a.path_fd != 0) return fail(EINVAL, "fields of BPF_OBJ_GET");
  if (a.file_flags != 0) return fail(EINVAL, "flags of BPF_OBJ_GET are not supported");
  return caller.hand_out(TRY(kernel.obj_get(TRY(string_at(caller, a.pathname, PATH_MAX)))));
}

}  // namespace

Result<void> serve_program_command(Kernel& kernel, Caller& caller, Cmd cmd, MutBytes bytes) {
  switch (cmd) {
    case Cmd::prog_load:
      return with_attr<attr::ProgLoad>(bytes, [&](auto& a) { return load_program(kernel, caller, a); });
    case Cmd::prog_test_run:
      return with_attr<attr::TestRun>(bytes, [&](auto& a) { return test_run(kernel, caller, a); });
    case Cmd::prog_bind_map:
      return with_attr<attr::ProgBindMap>(bytes, [&](auto& a) { return bind_map(kernel, caller, a); });
    case Cmd::btf_load:
      return with_attr<attr::BtfLoad>(bytes, [&](auto& a) { return load_btf(kernel, caller, a); });
    case Cmd::obj_pin:
      return with_attr<attr::Object>(bytes, [&](auto& a) { return pin(kernel, caller, a); });
    default:
      return with_attr<attr::Object>(bytes, [&](auto& a) { return get_pinned(kernel, caller, a); });
  }
}

}  // namespace skep::daemon
