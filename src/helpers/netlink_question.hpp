// One question to the host over netlink, and its answer. Inside the room.
#pragma once
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/bytes.hpp"
#include "base/fd.hpp"
#include "base/types.hpp"

namespace skep::helpers {

/// Empty: the host refuses; errno says why.
inline UniqueFd host_socket(int family, int type, int protocol) {
  return UniqueFd(::socket(family, type | SOCK_CLOEXEC, protocol));
}

/// One netlink request with its attributes, and the one message that answers it.
template <class Body>
class Question {
 public:
  Question(u16 type, const Body& body, u16 flags = 0) {
    header_.nlmsg_type = type;
    header_.nlmsg_flags = static_cast<u16>(NLM_F_REQUEST | flags);
    std::memcpy(bytes_.data() + sizeof header_, &body, sizeof body);
    used_ = NLMSG_ALIGN(sizeof header_ + sizeof body);
  }
  void put(u16 type, const void* data, std::size_t size) {
    const rtattr attribute{static_cast<u16>(RTA_LENGTH(size)), type};
    std::memcpy(bytes_.data() + used_, &attribute, sizeof attribute);
    std::memcpy(bytes_.data() + used_ + sizeof attribute, data, size);
    used_ += RTA_SPACE(size);
  }
  template <class Number>
  void put_number(u16 type, Number value) {
    put(type, &value, sizeof value);
  }
  /// What `inside` puts is the value of one attribute.
  template <class Inside>
  void nest(u16 type, Inside inside) {
    const std::size_t begin = used_;
    used_ += sizeof(rtattr);
    inside();
    const rtattr attribute{static_cast<u16>(used_ - begin), static_cast<u16>(type | NLA_F_NESTED)};
    std::memcpy(bytes_.data() + begin, &attribute, sizeof attribute);
  }
  /// The answer's bytes behind the netlink header; empty: an error, or nothing of that kind.
  [[nodiscard]] ByteView ask(int bus) {
    error_ = 0;
    const UniqueFd socket = host_socket(AF_NETLINK, SOCK_RAW, bus);
    header_.nlmsg_len = static_cast<u32>(used_);
    std::memcpy(bytes_.data(), &header_, sizeof header_);
    if (socket.get() < 0 || ::send(socket.get(), bytes_.data(), used_, 0) < 0) return failed(errno);
    const ssize_t got = ::recv(socket.get(), answer_.data(), answer_.size(), 0);
    if (got < static_cast<ssize_t>(sizeof(nlmsghdr))) return failed(got < 0 ? errno : EBADMSG);
    const auto header = load<nlmsghdr>(answer_.data());
    const auto size = std::min<std::size_t>(static_cast<std::size_t>(got), header.nlmsg_len);
    const ByteView body = ByteView(answer_).first(size).subspan(NLMSG_HDRLEN);
    if (header.nlmsg_type == NLMSG_DONE) return failed(ENOENT);
    if (header.nlmsg_type != NLMSG_ERROR) return body;
    return failed(body.size() < sizeof(int) ? EBADMSG : -load<int>(body.data()));
  }
  /// The errno of the last question that had no answer; 0 where it was a plain acknowledgement.
  [[nodiscard]] int error() const { return error_; }

 private:
  ByteView failed(int code) {
    error_ = code;
    return {};
  }
  nlmsghdr header_{};
  std::size_t used_ = 0;
  int error_ = 0;
  alignas(8) std::array<std::byte, 512> bytes_{};
  alignas(8) std::array<std::byte, 8192> answer_{};
};

/// Calls each(type, bytes) for the attributes in `bytes`.
template <class Each>
void attributes(ByteView bytes, Each each) {
  while (bytes.size() >= sizeof(rtattr)) {
    const auto attribute = load<rtattr>(bytes.data());
    if (attribute.rta_len < sizeof(rtattr) || attribute.rta_len > bytes.size()) return;
    each(static_cast<u16>(attribute.rta_type & NLA_TYPE_MASK),
         bytes.first(attribute.rta_len).subspan(sizeof(rtattr)));
    bytes = bytes.subspan(std::min<std::size_t>(RTA_ALIGN(attribute.rta_len), bytes.size()));
  }
}
/// The number in an attribute; 0 where it is too short.
template <class Number>
Number attribute_number(ByteView bytes) {
  return bytes.size() >= sizeof(Number) ? load<Number>(bytes.data()) : Number{};
}
inline u32 word(ByteView bytes) { return attribute_number<u32>(bytes); }
inline void copy_address(ByteView from, std::array<u32, 4>& to) {
  std::memcpy(to.data(), from.data(), std::min(from.size(), sizeof to));
}

}  // namespace skep::helpers
