// How a phase of the verifier says "refused": an errno the size of an int. The words that go with it are in
// the log (Env::reject writes both). Result<T> would carry a string through every instruction of the walk.
#pragma once
#include "base/types.hpp"

namespace skep::verifier {

class [[nodiscard]] Status {
 public:
  constexpr Status() = default;
  constexpr explicit Status(int code) : code_(code) {}
  [[nodiscard]] constexpr bool ok() const { return code_ == 0; }
  [[nodiscard]] constexpr int code() const { return code_; }  ///< positive errno, 0 if it passed

 private:
  int code_ = 0;
};

inline constexpr Status passed{};

}  // namespace skep::verifier

/// Returns from the enclosing function if the Status says refused.
#define CHECK(...)                                                                          \
  do {                                                                                      \
    if (const ::skep::verifier::Status check_s = (__VA_ARGS__); !check_s.ok()) [[unlikely]] \
      return check_s;                                                                       \
  } while (false)
