// The types of a kernel (/sys/kernel/btf/vmlinux, or a file that stands for it): parsed when first asked for,
// found by name through an index. Parsing takes tens of milliseconds, so most programs never should.
#pragma once
#include <functional>
#include <mutex>

#include "btf/btf.hpp"

namespace skep::btf {

class KernelBtf {
 public:
  using Source = std::function<Result<std::vector<std::byte>>()>;

  /// Whether the kernel tells the address of a variable or function of its BTF.
  using HasSymbol = std::function<bool(std::string_view name)>;

  /// `source` gives the bytes; it is asked once at most, and its failure means that there is no kernel BTF.
  explicit KernelBtf(Source source, HasSymbol has_symbol = nullptr)
      : source_(std::move(source)), has_symbol_(std::move(has_symbol)) {}
  KernelBtf(const KernelBtf&) = delete;
  KernelBtf& operator=(const KernelBtf&) = delete;

  /// The types, or nullptr if there are none. Threads may ask at once.
  [[nodiscard]] const Btf* types() const;
  /// The lowest id of that kind and name, or 0.
  [[nodiscard]] u32 find(Kind kind, std::string_view name) const;
  [[nodiscard]] bool has_symbol(std::string_view name) const { return !has_symbol_ || has_symbol_(name); }

 private:
  void load() const;

  Source source_;
  HasSymbol has_symbol_;
  mutable std::once_flag once_;
  mutable Btf btf_;
  mutable bool there_ = false;
  mutable std::vector<u32> first_;  ///< by hash: the lowest id
  mutable std::vector<u32> next_;   ///< by id: the next one with that hash
};

}  // namespace skep::btf
