// See session.hpp.
#include "embed/session.hpp"

#include <fmt/format.h>

namespace skep::embed {

void CallbackTrace::trace_printk(std::string_view text, const RunContext& run) noexcept {
  if (callback_) callback_(text, run);
}

void CallbackTrace::trace_event(std::string_view event, std::string_view text,
                                const RunContext& run) noexcept {
  if (callback_) callback_(fmt::format("{}: {}", event, text), run);
}

void Messages::message(loader::Level level, const std::string& text) {
  if (level != loader::Level::warning) return;
  if (text.find("-- BEGIN PROG LOAD LOG --") != std::string::npos) {
    verifier_log_ = text;
  } else if (warning_.empty()) {
    warning_ = text;
  }
}

Result<const loader::LoadedProgram*> Object::program(std::string_view name) const {
  if (loaded.programs.empty()) return fail(ENOENT, fmt::format("{}: it has no program", spec.file));
  if (name.empty()) return &loaded.programs.front();
  for (const auto& program : loaded.programs)
    if (program.name == name) return &program;
  return fail(ENOENT, fmt::format("{}: it has no program '{}'", spec.file, name));
}

Result<const loader::LoadedMap*> Object::map(std::string_view name) const {
  for (std::size_t i = 0; i < loaded.maps.size() && i < spec.maps.size(); ++i)
    if (loaded.maps[i].name == name || spec.maps[i].section == name) return &loaded.maps[i];
  return fail(ENOENT, fmt::format("{}: it has no map '{}'", spec.file, name));
}

Result<std::unique_ptr<Session>> Session::create(Options options) {
  std::unique_ptr<Session> session(new Session);
  runtime::Config config;
  config.cpus = options.cpus;
  config.no_jit = !options.jit;
  session->jit_ = options.jit;
  config.harden = options.harden;
  config.perf_map = options.perf_map;
  config.report_faults = options.report_faults;
  if (options.trace) {
    session->trace_ = std::make_unique<CallbackTrace>(std::move(options.trace));
    config.trace = session->trace_.get();
  }
  session->kernel_ = TRY(runtime::UserKernel::create(config));
  session->cpus_taken_.resize(TRY(session->kernel_->possible_cpus()));
  return session;
}

Result<Object> Session::load(loader::ObjectSpec spec, Messages* messages) {
  Object object{std::move(spec), {}};
  loader::LoadOptions options;
  options.diagnostics = messages;
  object.loaded = TRY(loader::load(object.spec, *kernel_, options));
  return object;
}

Result<u32> Session::take_cpu() {
  const std::lock_guard lock(mutex_);
  for (std::size_t cpu = 0; cpu < cpus_taken_.size(); ++cpu) {
    if (cpus_taken_[cpu]) continue;
    cpus_taken_[cpu] = true;
    return static_cast<u32>(cpu);
  }
  return fail(EBUSY, fmt::format("all {} CPUs have a worker", cpus_taken_.size()));
}

void Session::release_cpu(u32 cpu) {
  const std::lock_guard lock(mutex_);
  cpus_taken_[cpu] = false;
}

}  // namespace skep::embed
