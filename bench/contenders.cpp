#include "contenders.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

namespace skep::bench {

Result<std::unique_ptr<TestPacket>> TestPacket::create(u32 size) {
  std::unique_ptr<TestPacket> p(new TestPacket);
  constexpr std::size_t buffer = 8192, headroom = 256;
  p->memory_ = TRY(Mapping::map(2 * buffer, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT,
                                -1, 0, "a packet below 4 GiB"));
  p->md_ = reinterpret_cast<XdpMd*>(p->memory_.data() + buffer);
  p->data_ = p->memory_.data() + headroom;
  p->size_ = size;
  p->original_.resize(size);
  auto* b = reinterpret_cast<unsigned char*>(p->original_.data());
  for (u32 i = 0; i < size; ++i) b[i] = static_cast<unsigned char>(i * 131 + (i >> 3) * 7 + 5);
  const unsigned char head[] = {2,    0, 0,   0,    0, 1, 2, 0, 0,  0, 0, 2, 8,  0,  // Ethernet, IPv4
                                0x45, 0, 5,   0xce, 0, 1, 0, 0, 64, 6, 0, 0, 10, 0,
                                0,    1, 192, 168,  0, 1, 4, 1, 0,  80};
  std::copy(std::begin(head), std::end(head), b);
  p->rxq_.dev = &p->device_;
  p->buff_.data_hard_start = p->memory_.data();
  p->buff_.frame_sz = buffer;
  p->buff_.rxq = &p->rxq_;
  p->restore();
  return p;
}

void TestPacket::restore() {
  std::copy(original_.begin(), original_.end(), data_);
  const auto low = [](const std::byte* address) {
    return static_cast<u32>(reinterpret_cast<std::uintptr_t>(address));
  };
  *md_ = XdpMd{low(data_), low(data_ + size_), low(data_), 0, 0, 0};
  buff_.data = buff_.data_meta = data_;
  buff_.data_end = data_ + size_;
}

Result<NativeProgram> NativeProgram::open(const std::string& path) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return fail(ENOENT, dlerror());
  NativeProgram p;
  p.run = reinterpret_cast<u64 (*)(TestPacket::XdpMd*)>(dlsym(library, "prog"));
  if (p.run == nullptr) return fail(ENOENT, path + ": no function prog");
  return p;
}

Result<KernelCode> KernelCode::take(const ProgramInfo& info) {
  if (info.jited.empty()) return fail(ENOENT, "the kernel shows no machine code");
  for (const isa::Insn& insn : info.xlated)
    if (insn.code == (isa::op::JMP | isa::op::CALL)) return fail(ENOTSUP, "the code calls into the kernel");
  std::vector<std::byte> code = info.jited;
  auto* b = reinterpret_cast<unsigned char*>(code.data());
  const auto size = static_cast<s64>(code.size());
  // `leave` and a `jmp rel32` that leaves the image: the return thunk.
  for (s64 i = 1; i + 5 <= size; ++i) {
    if (b[i - 1] != 0xc9 || b[i] != 0xe9) continue;
    const s64 target = i + 5 + load<s32>(b + i + 1);
    if (target >= 0 && target < size) continue;
    b[i] = 0xc3;
    for (s64 k = 1; k < 5; ++k) b[i + k] = 0x90;
  }
  KernelCode k;
  k.code_ =
      TRY(Mapping::map(code.size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, "code"));
  std::copy(code.begin(), code.end(), k.code_.data());
  if (mprotect(k.code_.data(), k.code_.size(), PROT_READ | PROT_EXEC) != 0) return fail_errno("mprotect");
  k.entry_ = reinterpret_cast<u64 (*)(void*)>(k.code_.data());
  return k;
}

}  // namespace skep::bench
