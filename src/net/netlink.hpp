// Netlink requests over libmnl: rtnetlink (links, qdiscs, filters) and nfnetlink (nftables). A Request is
// built in a fixed buffer, sent in one message, and the kernel's answer awaited. libnftnl is not used: it is
// GPL; nftables' own attributes are few enough to write down (nft_guard.cpp).
#pragma once
#include <libmnl/libmnl.h>

#include <array>
#include <memory>

#include "base/result.hpp"
#include "base/types.hpp"

namespace skep::net {

/// One or more netlink messages in a buffer. Attributes go to the message begun last.
class Request {
 public:
  /// Begins a message; `flags` get NLM_F_REQUEST. Returns the family header of `size` zeroed bytes.
  void* begin(u16 type, u16 flags, std::size_t size);
  template <class Header>
  Header& begin(u16 type, u16 flags) {
    return *static_cast<Header*>(begin(type, flags, sizeof(Header)));
  }

  void put(u16 type, const void* data, std::size_t size);
  template <class T>
  void put_struct(u16 type, const T& value) {
    put(type, &value, sizeof value);
  }
  void put_u8(u16 type, u8 value) { put(type, &value, sizeof value); }
  void put_u32(u16 type, u32 value) { put(type, &value, sizeof value); }
  void put_be32(u16 type, u32 value);
  void put_string(u16 type, const char* text);

  /// An attribute that holds what is put while it lives; it must end before the request is sent.
  class Nest {
   public:
    Nest(Request& request, u16 type);
    ~Nest();
    Nest(const Nest&) = delete;
    Nest& operator=(const Nest&) = delete;

   private:
    Request& request_;
    nlattr* attribute_;
  };

  [[nodiscard]] const void* data() const {
    SKEP_ASSERT(open_nests_ == 0);
    return buffer_.data();
  }
  [[nodiscard]] std::size_t size() const;

 private:
  friend class Nest;
  alignas(MNL_ALIGNTO) std::array<char, 8192> buffer_{};
  u32 open_nests_ = 0;
  std::size_t finished_ = 0;  ///< bytes of the messages before the current one
  nlmsghdr* current_ = nullptr;
  u32 sequence_ = 0;
};

class Netlink {
 public:
  /// `bus` is NETLINK_ROUTE or NETLINK_NETFILTER. EPROTONOSUPPORT where the kernel lacks it.
  static Result<Netlink> open(int bus);

  /// Gives the socket a descriptor of at least `lowest`, if the process may have one.
  Result<void> move_descriptor(int lowest);

  /// Sends and reads the answers, which netlink has queued when sendto(2) returns. The first error of any
  /// message is the result; its sentence is the kernel's own (NLMSGERR_ATTR_MSG) or strerror.
  Result<void> transact(const Request& request);

 private:
  explicit Netlink(mnl_socket* socket) : socket_(socket, mnl_socket_close) {}
  std::unique_ptr<mnl_socket, int (*)(mnl_socket*)> socket_;
};

/// Tells that links were made, renamed, taken down or deleted in the network namespace; not which.
class LinkEvents {
 public:
  static Result<LinkEvents> open();
  [[nodiscard]] int fd() const { return mnl_socket_get_fd(socket_.get()); }
  /// Reads all that has come.
  void drain() noexcept;

 private:
  explicit LinkEvents(mnl_socket* socket) : socket_(socket, mnl_socket_close) {}
  std::unique_ptr<mnl_socket, int (*)(mnl_socket*)> socket_;
};

}  // namespace skep::net
