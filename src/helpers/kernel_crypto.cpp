// Kernel functions that encrypt and decrypt (kernel: kernel/bpf/crypto.c). The ciphers are nettle's: AF_ALG,
// the host kernel's own, needs a configuration that many kernels do not have, and two system calls a packet.
// Algorithms that are not in the table are unknown here, as they are to a kernel that was built without them.
#include <nettle/cbc.h>
#include <nettle/nettle-meta.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "base/rcu.hpp"
#include "helpers/dynptr.hpp"
#include "helpers/families.hpp"
#include "helpers/kernel_functions.hpp"

namespace skep::helpers {
namespace {

/// struct bpf_crypto_params
struct Params {
  std::array<char, 14> type;
  std::array<u8, 2> reserved;
  std::array<char, 128> algorithm;
  std::array<u8, 256> key;
  u32 key_len;
  u32 authsize;
};
static_assert(sizeof(Params) == 408);

/// An algorithm by the kernel's name; `ciphers`, one for each length of key.
struct Algorithm {
  std::string_view name;
  std::array<const nettle_cipher*, 3> ciphers;
  bool chained;  ///< CBC: the run of a message needs an initialization vector, and leaves the next one
};
constexpr Algorithm algorithms[] = {
    {"ecb(aes)", {&nettle_aes128, &nettle_aes192, &nettle_aes256}, false},
    {"cbc(aes)", {&nettle_aes128, &nettle_aes192, &nettle_aes256}, true},
};

template <std::size_t size>
std::string_view text_of(const std::array<char, size>& chars) {
  return std::string_view(chars.data(), size).substr(0, ::strnlen(chars.data(), size));
}

/// struct bpf_crypto_ctx: an algorithm with its key.
class CryptoContext {
 public:
  CryptoContext(const Algorithm& algorithm, const nettle_cipher& cipher, const u8* key)
      : cipher_(&cipher),
        chained_(algorithm.chained),
        encrypting_(in_slots(cipher.context_size)),
        decrypting_(in_slots(cipher.context_size)) {
    cipher.set_encrypt_key(encrypting_.data(), key);
    cipher.set_decrypt_key(decrypting_.data(), key);
  }
  CryptoContext(const CryptoContext&) = delete;
  CryptoContext& operator=(const CryptoContext&) = delete;
  ~CryptoContext() {
    ::explicit_bzero(encrypting_.data(), encrypting_.size() * sizeof(Slot));
    ::explicit_bzero(decrypting_.data(), decrypting_.size() * sizeof(Slot));
  }

  /// False: nobody had a reference any more (refcount_inc_not_zero()).
  bool acquire() {
    u32 count = usage_.load(std::memory_order_relaxed);
    while (count != 0)
      if (usage_.compare_exchange_weak(count, count + 1, std::memory_order_relaxed)) return true;
    return false;
  }
  /// True: this was the last reference.
  bool release() { return usage_.fetch_sub(1, std::memory_order_acq_rel) == 1; }

  [[nodiscard]] u32 vector_size() const { return chained_ ? cipher_->block_size : 0; }

  /// Whole blocks of `from`, `len` bytes, to `to`, which may be the same place. EINVAL, with those done, if
  /// bytes are left.
  int run(u8* to, const u8* from, u32 len, u8* vector, bool decrypt) const {
    const u32 block = cipher_->block_size, rest = len % block, whole = len - rest;
    const Slot* context = decrypt ? decrypting_.data() : encrypting_.data();
    nettle_cipher_func* step = decrypt ? cipher_->decrypt : cipher_->encrypt;
    if (whole == 0) return rest != 0 ? EINVAL : 0;
    if (!chained_)
      step(context, whole, to, from);
    else if (decrypt)
      ::cbc_decrypt(context, step, block, vector, whole, to, from);
    else
      ::cbc_encrypt(context, step, block, vector, whole, to, from);
    return rest != 0 ? EINVAL : 0;
  }

 private:
  struct alignas(16) Slot {
    std::array<std::byte, 16> bytes;
  };
  static std::size_t in_slots(std::size_t bytes) { return (bytes + sizeof(Slot) - 1) / sizeof(Slot); }

  std::atomic<u32> usage_{1};
  const nettle_cipher* cipher_;
  bool chained_;
  std::vector<Slot> encrypting_, decrypting_;
};

/// bpf_crypto_ctx_create()'s checks, in its order. An errno.
int create(const Params& params, u32 size, CryptoContext*& made) {
  if (size != sizeof(Params) || params.reserved != std::array<u8, 2>{}) return EINVAL;
  if (text_of(params.type) != "skcipher") return ENOENT;
  const auto* algorithm = std::ranges::find(algorithms, text_of(params.algorithm), &Algorithm::name);
  if (algorithm == std::end(algorithms) || params.authsize != 0) return EOPNOTSUPP;
  if (params.key_len == 0 || params.key_len > params.key.size()) return EINVAL;
  const auto& ciphers = algorithm->ciphers;
  const auto cipher =
      std::ranges::find_if(ciphers, [&](const nettle_cipher* c) { return c->key_size == params.key_len; });
  if (cipher == ciphers.end()) return EINVAL;
  made = new (std::nothrow) CryptoContext(*algorithm, **cipher, params.key.data());
  return made == nullptr ? ENOMEM : 0;
}

/// (parameters, their size, where the error goes)
u64 ctx_create(u64 params, u64 size, u64 error, u64, u64, RunContext*) {
  CryptoContext* made = nullptr;
  const int bad = create(*pointer<const Params>(params), static_cast<u32>(size), made);
  *pointer<s32>(error) = -bad;
  return reinterpret_cast<u64>(made);
}
u64 ctx_acquire(u64 context, u64, u64, u64, u64, RunContext*) {
  return pointer<CryptoContext>(context)->acquire() ? context : 0;
}
u64 ctx_release(u64 context, u64, u64, u64, u64, RunContext*) {
  release_crypto_context(pointer<void>(context));
  return 0;
}

/// bpf_crypto_crypt(): (context, from, to, initialization vector or NULL)
template <bool decrypt>
u64 crypt(u64 context64, u64 from64, u64 to64, u64 vector64, u64, RunContext*) {
  const auto& context = *pointer<const CryptoContext>(context64);
  const auto& from = *pointer<const Dynptr>(from64);
  const auto& to = *pointer<const Dynptr>(to64);
  const auto* vector = pointer<const Dynptr>(vector64);
  const auto size_of = [](const Dynptr& of) { return of.data != nullptr ? of.bytes() : 0; };
  if (to.is_rdonly()) return error_result(EINVAL);
  const u32 from_size = size_of(from), to_size = size_of(to);
  if (from_size == 0 || to_size == 0 || from_size > to_size) return error_result(EINVAL);
  const u32 vector_size = vector != nullptr ? size_of(*vector) : 0;
  if (vector_size != context.vector_size()) return error_result(EINVAL);
  const auto* source = static_cast<const u8*>(dynptr_slice(from, 0, nullptr, from_size));
  auto* target = static_cast<u8*>(dynptr_slice(to, 0, nullptr, to_size));
  if (source == nullptr || target == nullptr) return error_result(EINVAL);
  u8* initial = nullptr;
  if (vector_size != 0) {
    initial =
        vector->is_rdonly() ? nullptr : static_cast<u8*>(dynptr_slice(*vector, 0, nullptr, vector_size));
    if (initial == nullptr) return error_result(EINVAL);
  }
  return error_result(context.run(target, source, from_size, initial, decrypt));
}

constexpr KernelFunctionRow rows[] = {
    {"bpf_crypto_ctx_create", ctx_create},   {"bpf_crypto_ctx_acquire", ctx_acquire},
    {"bpf_crypto_ctx_release", ctx_release}, {"bpf_crypto_encrypt", crypt<false>},
    {"bpf_crypto_decrypt", crypt<true>},
};

}  // namespace

std::span<const KernelFunctionRow> crypto_kernel_functions() { return rows; }

void release_crypto_context(void* context) {
  auto* crypto = static_cast<CryptoContext*>(context);
  if (crypto->release()) rcu::defer(crypto, [](void* last) { delete static_cast<CryptoContext*>(last); });
}

}  // namespace skep::helpers
