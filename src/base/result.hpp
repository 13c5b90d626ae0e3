// Errors as values. Result<T> carries what went wrong with bad input or the environment: a Linux errno
// (what bpf(2) would return) and one sentence that names what was wrong and where. A refused program is
// not an Error but a verifier::Rejection; a broken invariant of ours is SKEP_ASSERT.
#pragma once
#include <expected>
#include <string>
#include <type_traits>
#include <utility>

#include "base/types.hpp"

namespace skep {

struct Error {
  int code = 0;      ///< positive errno: EINVAL, ENOENT, ... (ENOTSUPP is 524, kernel-internal)
  std::string what;  ///< one line without newline, naming the thing and the place; may be empty

  bool operator==(const Error&) const = default;
};

/// ENOTSUPP as bpf(2) returns it; <errno.h> has no name for it.
inline constexpr int kENOTSUPP = 524;

/// An Error as the failing value of any Result: `return fail(EINVAL, "key_size is 8, must be 4");`
[[nodiscard]] inline std::unexpected<Error> fail(int code, std::string what = {}) {
  return std::unexpected<Error>(Error{code, std::move(what)});
}

/// std::expected is not [[nodiscard]]; this class is, so that a dropped error does not compile.
template <class T>
class [[nodiscard]] Result : public std::expected<T, Error> {
 public:
  using std::expected<T, Error>::expected;
};

template <>
class [[nodiscard]] Result<void> : public std::expected<void, Error> {
 public:
  using std::expected<void, Error>::expected;
};

/// The same failure with "CONTEXT: " before its sentence.
template <class T>
Result<T> with_context(Result<T> result, std::string_view context) {
  if (!result) {
    std::string text(context);
    if (!result.error().what.empty()) text += ": " + result.error().what;
    return fail(result.error().code, std::move(text));
  }
  return result;
}

namespace detail {
template <class R>
auto unwrap(R&& r) {
  if constexpr (!std::is_void_v<typename std::remove_cvref_t<R>::value_type>) return std::move(*r);
}
[[noreturn]] void assert_failed(const char* expression, const char* file, int line);
}  // namespace detail

}  // namespace skep

/// The value of a Result, or return its error from the enclosing function. A GNU statement expression:
/// g++ 12's std::expected has no and_then. The counter keeps nested uses from shadowing each other.
#define TRY(...) SKEP_TRY_NAMED(SKEP_TRY_CAT(try_r_, __COUNTER__), __VA_ARGS__)
#define SKEP_TRY_CAT(a, b) SKEP_TRY_CAT2(a, b)
#define SKEP_TRY_CAT2(a, b) a##b
#define SKEP_TRY_NAMED(name, ...)                      \
  __extension__({                                      \
    auto&& name = (__VA_ARGS__);                       \
    if (!name.has_value()) [[unlikely]]                \
      return std::unexpected(std::move(name).error()); \
    ::skep::detail::unwrap(std::move(name));           \
  })

/// Our own bugs only: never reachable from input. On in every build.
#define SKEP_ASSERT(cond) \
  (static_cast<bool>(cond) ? void(0) : ::skep::detail::assert_failed(#cond, __FILE__, __LINE__))
