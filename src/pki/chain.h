/* pki/chain.h: what a CA's server sent, judged: which certificate is ours, the way to a root, the names in
 * it, and which new roots an old one vouches for. Layer: pki. RFC 5280 section 6 by libcrypto; RFC 4210
 * section 4.4 (a CA that changes its key). The time is handed in; no file is read. */
#ifndef PKI_CHAIN_H
#define PKI_CHAIN_H

#include "pki/cert.h"

/* chain_leaf: of what was sent the certificate for this key, the one that ends last; a view into sent.
 * TT_ERR_NOT_FOUND: there is none. */
TT_MUST_USE tt_rc chain_leaf(struct tt_bytes *ret, const struct tt_cert_list *sent, struct tt_bytes spki,
                             struct tt_error *err);

struct chain_source {
    const struct tt_cert_list *sent, *also; /* certificates that may stand between; also may be NULL */
    const struct tt_cert_list *roots;       /* each of them is believed, self-signed or not */
    int64_t now;
};
/* chain_build: leaf, those between, the root last. TT_ERR_VERIFY with the reason. */
TT_MUST_USE tt_rc chain_build(struct tt_cert_list **ret, struct tt_bytes leaf,
                              const struct chain_source *from, struct tt_error *err);

/* chain_add_cross: a CA that has changed its key lists a certificate for the new one by the old one
 * (NewWithOld): put it in front of the root, for peers who have not heard of that; those who have need no
 * more than before. path is of chain_build. */
TT_MUST_USE tt_rc chain_add_cross(struct tt_cert_list *path, const struct chain_source *from,
                                  struct tt_error *err);

/* chain_has_asked: does the certificate have what a request asked for: each attribute of the subject, each
 * alternative name? A CA may add to them. TT_ERR_VERIFY names the first that is missing. */
TT_MUST_USE tt_rc chain_has_asked(struct tt_bytes leaf, const struct tt_csr_params *asked,
                                  struct tt_error *err);
/* chain_same_names: the same, of the certificate before ("MUST be identical", RFC 7030 section 4.2.2, is said
 * of the request; of the answer, that nothing is lost). */
TT_MUST_USE tt_rc chain_same_names(struct tt_bytes leaf, struct tt_bytes before, struct tt_error *err);

/* chain_uses: may it sign in a handshake (key usage), and is it for all that the one before was for (extended
 * key usage; `before` empty: for one end of TLS)? TT_ERR_VERIFY names what is missing. */
TT_MUST_USE tt_rc chain_uses(struct tt_bytes leaf, struct tt_bytes before, struct tt_error *err);

/* chain_roots: the roots to believe from now on: those of `old` that have not ended (all, if every one has),
 * and each self-signed one of `sent` for which one of `old` vouches: by a certificate for the same name and
 * key that leads to it (NewWithOld), or by its own key, which has made itself a new certificate. */
TT_MUST_USE tt_rc chain_roots(struct tt_cert_list **ret, const struct tt_cert_list *old,
                              const struct tt_cert_list *sent, int64_t now, struct tt_error *err);
/* chain_roots_of: the self-signed ones of sent; where there is none, all of them. */
TT_MUST_USE tt_rc chain_roots_of(struct tt_cert_list **ret, const struct tt_cert_list *sent,
                                 struct tt_error *err);
/* chain_is_root: is it self-signed? */
bool chain_is_root(struct tt_bytes der);

/* chain_list_add: a copy of der, if it is not in the list, which is made where it is NULL. */
TT_MUST_USE tt_rc chain_list_add(struct tt_cert_list **list, struct tt_bytes der, struct tt_error *err);
/* chain_lists_equal: the same certificates in any order. */
bool chain_lists_equal(const struct tt_cert_list *a, const struct tt_cert_list *b);

#endif
