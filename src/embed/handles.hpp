// What the C API's handles are, and how a failure gets to skep_error().
#pragma once
#include <skep/skep.h>

#include <map>

#include "client/remote_kernel.hpp"
#include "embed/session.hpp"
#include "progs/xdp_buff.hpp"
#include "runtime/bare_code.hpp"

struct skep_kernel {
  std::unique_ptr<skep::embed::Session> session;       ///< of this process, or
  std::unique_ptr<skep::client::RemoteKernel> daemon;  ///< a daemon's
  [[nodiscard]] skep::Kernel& kernel() const {
    return session != nullptr ? static_cast<skep::Kernel&>(session->kernel()) : *daemon;
  }
};
struct skep_program {
  skep_kernel* kernel = nullptr;
  const skep::loader::LoadedProgram* loaded = nullptr;
  skep::ProgramInfo info;
  skep::hooks::XdpProgram xdp;  ///< with an entry, if it is an XDP program
};
struct skep_map {
  skep_kernel* kernel = nullptr;
  int fd = -1;
  std::uint32_t key_size = 0, value_size = 0;
  skep::Handle opened{};  ///< of skep_map_open(): `fd` is its
};
struct skep_object {
  skep_kernel* kernel = nullptr;
  skep::embed::Object object;
  std::map<const skep::loader::LoadedProgram*, skep_program> programs;
  std::map<const skep::loader::LoadedMap*, skep_map> maps;
};
struct skep_code {
  skep::runtime::BareCode code;
};
struct skep_worker {
  skep_kernel* kernel = nullptr;
  std::uint32_t cpu = 0;
  skep::rcu::Reader reader;
  skep::RunContext run;
  skep::progs::NetDevice device;
  skep::progs::XdpRxqInfo rxq;
};

namespace skep::embed {

/// Keeps the reason for skep_error() of this thread; the negative errno.
int failed(const Error& error);
/// What skep_verifier_log() of this thread answers.
void keep_verifier_log(std::string log);
inline int failed(int code, std::string text) { return failed(Error{code, std::move(text)}); }

}  // namespace skep::embed
