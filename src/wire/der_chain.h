/* wire/der_chain.h: certificates that lie one behind the other, as in a TPM's NV memory. Layer: wire. TCG EK
 * Credential Profile, section 2.2.1.5 (chain at 0x01c00100 to 0x01c001ff). */
#ifndef WIRE_DER_CHAIN_H
#define WIRE_DER_CHAIN_H

#include "base/rc.h"

/* der_chain_next: take the next DER SEQUENCE, with its tag and length, off the front of *rest. Padding in
 * front of it (0x00, 0xff) is passed over. False, and *rest is what was not understood, at the end or where
 * something else, or a SEQUENCE that is cut off, follows. */
bool der_chain_next(struct tt_bytes *ret, struct tt_bytes *rest);

#endif
