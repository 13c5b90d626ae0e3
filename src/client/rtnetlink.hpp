// rtnetlink as far as XDP and tc attachments need it, on libmnl: one request with its acknowledgement
// (extended text included), and dumps.
#pragma once
#include <libmnl/libmnl.h>

#include <functional>
#include <memory>

#include "base/result.hpp"

namespace skep::client {

class RtNetlink {
 public:
  static Result<RtNetlink> open();

  /// Sends `request` (its sequence number and NLM_F_ACK are set here) and waits for the acknowledgement. The
  /// error is the kernel's errno; `what` is its extended-ack text and nothing else, empty if it gave none.
  Result<void> transact(nlmsghdr* request);
  /// Sends a dump request and calls `each` for every message of the answer. `what` names `subject`.
  Result<void> dump(nlmsghdr* request, std::string_view subject,
                    const std::function<void(const nlmsghdr*)>& each);

 private:
  struct Close {
    void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
  };
  std::unique_ptr<mnl_socket, Close> socket_;
  unsigned sequence_ = 0;
};

/// The direct attributes of a message, or those nested in one, by type.
void each_attribute(const nlmsghdr* message, unsigned header_size,
                    const std::function<void(const nlattr*)>& each);
void each_nested(const nlattr* nest, const std::function<void(const nlattr*)>& each);

}  // namespace skep::client
