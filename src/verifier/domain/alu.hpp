// What alu.cpp calls in its neighbours; inside the domain only.
#pragma once
#include "verifier/domain/scalar.hpp"

namespace skep::verifier {

/// LSH, RSH, ARSH by a known count below the width; no final zero extension or sync (shift.cpp).
void shift(u8 op, bool is32, Scalar& dst, const Scalar& src);
/// END and BSWAP of 16, 32, 64 bits on a little-endian machine (extend.cpp).
void byte_swap(const isa::Insn& insn, Scalar& dst);

}  // namespace skep::verifier
