// An array that is filled from front to back and used again for the next program: growing keeps nothing, and
// what was not written has no value.
#pragma once
#include <memory>
#include <type_traits>

#include "base/types.hpp"

namespace skep::jit {

template <class T>
class Buffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  /// Room for `count`, their values undefined.
  void resize(std::size_t count) {
    if (count > capacity_) {
      capacity_ = count + count / 2;
      items_ = std::make_unique_for_overwrite<T[]>(capacity_);
    }
    size_ = count;
  }
  [[nodiscard]] std::size_t capacity() const { return capacity_; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] T* data() { return items_.get(); }
  [[nodiscard]] const T* data() const { return items_.get(); }
  T& operator[](std::size_t i) { return items_[i]; }
  const T& operator[](std::size_t i) const { return items_[i]; }
  [[nodiscard]] T* begin() { return items_.get(); }
  [[nodiscard]] T* end() { return items_.get() + size_; }
  [[nodiscard]] const T& back() const { return items_[size_ - 1]; }

 private:
  std::unique_ptr<T[]> items_;
  std::size_t capacity_ = 0, size_ = 0;
};

}  // namespace skep::jit
