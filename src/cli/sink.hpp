// Where output goes: a file descriptor, or a string in tests.
#pragma once
#include <string>
#include <string_view>

namespace skep::cli {

class Sink {
 public:
  Sink() = default;
  Sink(const Sink&) = delete;
  Sink& operator=(const Sink&) = delete;
  virtual ~Sink() = default;
  virtual void write(std::string_view text) = 0;
  virtual void flush() {}
  /// False once something could not be written (a full disk, a closed pipe).
  [[nodiscard]] virtual bool good() const { return true; }
};

class StringSink final : public Sink {
 public:
  void write(std::string_view text) override { text_ += text; }
  [[nodiscard]] const std::string& text() const { return text_; }
  void clear() { text_.clear(); }

 private:
  std::string text_;
};

/// Buffers up to 64 KiB, then writes. Does not own the descriptor.
class FdSink final : public Sink {
 public:
  explicit FdSink(int fd) : fd_(fd) {}
  ~FdSink() override { flush(); }
  void write(std::string_view text) override;
  void flush() override;
  [[nodiscard]] bool good() const override { return good_; }

 private:
  int fd_;
  bool good_ = true;
  std::string buffer_;
};

}  // namespace skep::cli
