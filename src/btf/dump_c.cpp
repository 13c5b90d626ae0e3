// `btf dump ... format c`: every type defined before it is needed. Two passes for each type asked for, as in
// libbpf's dumper: the first finds what must be defined before it, in which order; the second writes these
// definitions, with forward declarations where only a pointer needs them.
#include <fmt/format.h>

#include <algorithm>

#include "btf/c_text.hpp"
#include "btf/dump.hpp"

namespace skep::btf {

namespace {

constexpr u32 kMaxNesting = 1000;

class CDump {
 public:
  explicit CDump(const Btf& btf)
      : btf_(btf),
        text_(btf),
        state_(btf.type_count() + 1),
        budget_(u64{btf.type_count()} * 1000 + 1'000'000) {
    state_[0].order = Order::done;
    state_[0].emit = Emit::done;
    mark_referenced();
  }

  Result<void> dump(u32 id) {
    queue_.clear();
    TRY(order(id, false, 0));
    for (u32 wanted : queue_) TRY(emit(wanted, 0, 0));
    return text_.overflow() ? too_large(id) : Result<void>{};
  }
  std::string take() { return std::move(out_); }
  CText& text() { return text_; }

 private:
  enum class Order : u8 { none, open, done };
  enum class Emit : u8 { none, open, done };
  struct State {
    Order order = Order::none;
    Emit emit = Emit::none;
    bool forward = false;     ///< a forward declaration (or typedef) has been written
    bool referenced = false;  ///< some type refers to it
  };

  std::unexpected<Error> too_large(u32 id) const {
    return fail(E2BIG, fmt::format("BTF type [{}] nests too deep or is too large to write as C", id));
  }
  Result<void> spend(u32 id, u32 depth) {
    if (budget_ == 0 || depth > kMaxNesting) return too_large(id);
    --budget_;
    return {};
  }

  void mark_referenced() {
    for (u32 id = 1; id <= btf_.type_count(); ++id) {
      const Type& t = btf_.type(id);
      state_[t.type].referenced = state_[t.index_type].referenced = true;
      for (const Entry& e : btf_.entries(t)) state_[e.type].referenced = true;
    }
  }

  /// Queues the definitions that `id` needs, and its own. True if it is a strong need: the definition itself
  /// and not only its name.
  Result<bool> order(u32 id, bool through_pointer, u32 depth) {
    TRY(spend(id, depth));
    State& s = state_[id];
    const Type& t = btf_.type(id);
    if (s.order == Order::done) return true;
    if (s.order == Order::open) {
      if (is_composite(t.kind) && through_pointer && t.name_off != 0) return false;
      return fail(ELOOP, fmt::format("unsatisfiable type cycle, id:[{}]", id));
    }
    switch (t.kind) {
      case Kind::int_:
      case Kind::float_:
      case Kind::func:
      case Kind::var:
      case Kind::datasec:
      case Kind::decl_tag:
        s.order = Order::done;
        return false;
      case Kind::ptr: {
        bool strong = TRY(order(t.type, true, depth + 1));
        s.order = Order::done;
        return strong;
      }
      case Kind::array:
        return order(t.type, false, depth + 1);
      case Kind::volatile_:
      case Kind::const_:
      case Kind::restrict_:
      case Kind::type_tag:
        return order(t.type, through_pointer, depth + 1);
      case Kind::struct_:
      case Kind::union_:
        if (through_pointer && t.name_off != 0) return false;
        s.order = Order::open;
        for (const Entry& m : btf_.entries(t)) TRY(order(m.type, false, depth + 1));
        if (t.name_off != 0) queue_.push_back(id);
        s.order = Order::done;
        return true;
      case Kind::enum_:
      case Kind::enum64:
      case Kind::fwd:
        if (t.name_off != 0 || !s.referenced) queue_.push_back(id);
        s.order = Order::done;
        return true;
      case Kind::typedef_: {
        bool strong = TRY(order(t.type, through_pointer, depth + 1));
        if (through_pointer && !strong) return false;
        queue_.push_back(id);
        s.order = Order::done;
        return true;
      }
      case Kind::func_proto: {
        bool strong = TRY(order(t.type, through_pointer, depth + 1));
        for (const Entry& arg : btf_.entries(t))
          strong = TRY(order(arg.type, through_pointer, depth + 1)) || strong;
        return strong;
      }
      default:
        return false;
    }
  }

  void line(const std::string& definition) { out_ += definition + ";\n\n"; }
  void emit_typedef(u32 id) {
    // The compiler's own type; its definition elsewhere would not compile.
    if (btf_.name(id) != "__builtin_va_list") line(text_.typedef_definition(id));
  }

  /// Writes what `id` needs to be known; `within` is the struct or typedef being defined, 0 at the top.
  Result<void> emit(u32 id, u32 within, u32 depth) {
    TRY(spend(id, depth));
    State& s = state_[id];
    const Type& t = btf_.type(id);
    if (s.emit == Emit::done) return {};
    if (s.emit == Emit::open) return emit_again(id, within);
    switch (t.kind) {
      case Kind::int_:
        s.emit = Emit::done;
        return {};
      case Kind::enum_:
      case Kind::enum64:
        if (within == 0) line(text_.enum_definition(id, 0));
        s.emit = Emit::done;
        return {};
      case Kind::ptr:
      case Kind::volatile_:
      case Kind::const_:
      case Kind::restrict_:
      case Kind::type_tag:
      case Kind::array:
        return emit(t.type, within, depth + 1);
      case Kind::fwd:
        line(text_.tagged(id));
        s.emit = Emit::done;
        return {};
      case Kind::typedef_:
        s.emit = Emit::open;
        TRY(emit(t.type, id, depth + 1));
        if (!state_[id].forward) emit_typedef(id);
        state_[id].emit = Emit::done;
        return {};
      case Kind::struct_:
      case Kind::union_:
        return emit_struct(id, within, depth);
      case Kind::func_proto:
        TRY(emit(t.type, within, depth + 1));
        for (const Entry& arg : btf_.entries(t)) TRY(emit(arg.type, within, depth + 1));
        return {};
      default:
        return {};
    }
  }

  /// A type that is being defined is needed by something inside of it.
  Result<void> emit_again(u32 id, u32 within) {
    State& s = state_[id];
    const Type& t = btf_.type(id);
    if (s.forward) return {};
    if (is_composite(t.kind)) {
      if (id == within || t.name_off == 0) return {};
      line(text_.tagged(id));
      s.forward = true;
    } else if (t.kind == Kind::typedef_) {
      emit_typedef(id);
      s.forward = true;
    }
    return {};
  }

  Result<void> emit_struct(u32 id, u32 within, u32 depth) {
    State& s = state_[id];
    const Type& t = btf_.type(id);
    s.emit = Emit::open;
    if (within == 0 || t.name_off == 0) {
      for (const Entry& m : btf_.entries(t)) TRY(emit(m.type, t.name_off == 0 ? within : id, depth + 1));
    } else if (!s.forward && id != within) {
      line(text_.tagged(id));
      s.forward = true;
    }
    if (within == 0) line(text_.struct_definition(id, 0));
    s.emit = within == 0 ? Emit::done : Emit::none;
    return {};
  }

  const Btf& btf_;
  CText text_;
  std::vector<State> state_;
  std::vector<u32> queue_;
  std::string out_;
  u64 budget_;
};

Result<void> dump_types(CDump& dump, const Btf& btf, std::span<const u32> ids, const COptions& options) {
  for (u32 id : ids) TRY(dump.dump(id));
  if (!ids.empty()) return {};
  if (options.sorted) {
    for (u32 id : c_order(btf)) TRY(dump.dump(id));
  } else {
    for (u32 id = 1; id <= btf.type_count(); ++id) TRY(dump.dump(id));
  }
  return {};
}

/// Declarations of the functions that a kernel's BTF marks as callable from programs, by name.
Result<std::string> kfuncs(CDump& dump, const Btf& btf) {
  struct Found {
    std::string_view name;
    u32 func;
  };
  std::vector<Found> found;
  std::vector<u32> fast;
  for (u32 id = 1; id <= btf.type_count(); ++id) {
    const Type& tag = btf.type(id);
    if (tag.kind != Kind::decl_tag || tag.component != -1 || btf.type(tag.type).kind != Kind::func) continue;
    std::string_view name = btf.string(tag.name_off);
    if (name == "bpf_kfunc") found.push_back({btf.name(tag.type), tag.type});
    if (name == "bpf_fastcall") fast.push_back(tag.type);
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const Found& a, const Found& b) { return a.name < b.name; });
  std::sort(fast.begin(), fast.end());
  std::string text;
  for (const Found& f : found) {
    bool is_fast = std::binary_search(fast.begin(), fast.end(), f.func);
    text += fmt::format("extern {}{} __weak __ksym;\n", is_fast ? "__bpf_fastcall " : "",
                        dump.text().declare(btf.type(f.func).type, f.name, 0));
  }
  if (dump.text().overflow()) return fail(E2BIG, "BTF's functions are too large to write as C");
  return text;
}

constexpr std::string_view kPreamble = R"(#ifndef __VMLINUX_H__
#define __VMLINUX_H__

#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)
#endif

#ifndef __ksym
#define __ksym __attribute__((section(".ksyms")))
#endif

#ifndef __weak
#define __weak __attribute__((weak))
#endif

#ifndef __bpf_fastcall
#if __has_attribute(bpf_fastcall)
#define __bpf_fastcall __attribute__((bpf_fastcall))
#else
#define __bpf_fastcall
#endif
#endif

)";

constexpr std::string_view kEnd = R"(#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute pop
#endif

#endif /* __VMLINUX_H__ */
)";

}  // namespace

Result<std::string> c_declarations(const Btf& btf, std::span<const u32> ids, const COptions& options) {
  CDump dump(btf);
  TRY(dump_types(dump, btf, ids, options));
  return dump.take();
}

Result<std::string> c_header(const Btf& btf, std::span<const u32> ids, const COptions& options) {
  CDump dump(btf);
  TRY(dump_types(dump, btf, ids, options));
  std::string text = std::string(kPreamble) + dump.take();
  if (ids.empty())
    text += "\n/* BPF kfuncs */\n#ifndef BPF_NO_KFUNC_PROTOTYPES\n" + TRY(kfuncs(dump, btf)) + "#endif\n\n";
  return text + std::string(kEnd);
}

}  // namespace skep::btf
