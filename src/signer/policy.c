/* signer/policy.c: policy digests, as the TPM computes them in a policy session. Layer: signer. TPM 2.0 part
 * 3, sections 23.2.3 (PolicyUpdate), 23.4 (Secret), 23.7 (PCR), 23.16 (Authorize), 23.17 (AuthValue). */
#include "signer/policy.h"

#include <string.h>

#include "wire/writer.h"

#define POLICY_HASH HASH_SHA256

void policy_free(struct policy *p)
{
    buf_free(&p->statements);
}

/* digest = H(digest || what) */
static tt_rc extend(struct policy *p, struct tt_bytes what)
{
    struct buf all = {0};
    tt_rc rc = buf_append(&all, p->digest, sizeof p->digest);
    if (rc == TT_OK)
        rc = buf_append(&all, what.data, what.len);
    if (rc == TT_OK)
        rc = hash_digest(p->lib, POLICY_HASH, buf_bytes(&all), p->digest);
    buf_free(&all);
    return rc;
}

/* H(digest || command || a || b); the bodies are short. */
static tt_rc extend_command(struct policy *p, uint32_t command, struct tt_bytes a, struct tt_bytes b)
{
    struct buf what = {0};
    struct writer w = writer_to(&what);
    wr_u32(&w, command);
    wr_bytes(&w, a);
    wr_bytes(&w, b);
    tt_rc rc = wr_status(&w);
    if (rc == TT_OK)
        rc = extend(p, buf_bytes(&what));
    buf_free(&what);
    return rc;
}

static const struct tt_bytes nothing = {NULL, 0};

static tt_rc statement_add(struct policy *p, uint32_t command, struct tt_bytes body)
{
    p->count++;
    return keyfile_policy_put(&p->statements, command, body);
}

/* Takes the body over. */
static tt_rc statement_add_buf(struct policy *p, uint32_t command, struct buf *body, tt_rc rc)
{
    if (rc == TT_OK)
        rc = statement_add(p, command, buf_bytes(body));
    buf_free(body);
    return rc;
}

tt_rc policy_add_pcrs(struct policy *p, const struct tpm_pcrs *pcrs)
{
    uint8_t digest[HASH_MAX_SIZE];
    struct tt_bytes selection = {pcrs->selection, pcrs->selection_len};
    struct tt_bytes values = {digest, hash_size(POLICY_HASH)};
    TT_TRY(hash_digest(p->lib, POLICY_HASH, (struct tt_bytes){pcrs->values, pcrs->values_len}, digest));
    TT_TRY(extend_command(p, SOFT_POLICY_PCR, selection, values));
    struct buf body = {0};
    struct writer w = writer_to(&body);
    wr_vec16(&w, values);
    wr_bytes(&w, selection);
    return statement_add_buf(p, SOFT_POLICY_PCR, &body, wr_status(&w));
}

tt_rc policy_add_auth_value(struct policy *p)
{
    p->needs_password = true;
    TT_TRY(extend_command(p, SOFT_POLICY_AUTH_VALUE, nothing, nothing));
    return statement_add(p, SOFT_POLICY_AUTH_VALUE, nothing);
}

/* The name of a hierarchy is its handle. No policyRef: the second half of PolicyUpdate hashes nothing more.
 */
tt_rc policy_add_secret(struct policy *p, uint32_t hierarchy)
{
    uint8_t name[4] = {(uint8_t)(hierarchy >> 24), (uint8_t)(hierarchy >> 16), (uint8_t)(hierarchy >> 8),
                       (uint8_t)hierarchy};
    struct tt_bytes entity = {name, sizeof name};
    p->needs_password = true;
    TT_TRY(extend_command(p, SOFT_POLICY_SECRET, entity, nothing));
    TT_TRY(extend(p, nothing));
    struct buf body = {0};
    struct writer w = writer_to(&body);
    wr_bytes(&w, entity); /* objectHandleHint */
    wr_vec16(&w, entity);
    wr_vec16(&w, nothing);
    return statement_add_buf(p, SOFT_POLICY_SECRET, &body, wr_status(&w));
}

tt_rc policy_add_authorize(struct policy *p, const struct policy_authority *who)
{
    struct soft_public signer;
    uint8_t name[66];
    size_t name_len = 0;
    TT_TRY(soft_public_read(&signer, who->signer, NULL));
    TT_TRY(name_of_public(name, &name_len, p->lib, &signer));
    memset(p->digest, 0, sizeof p->digest); /* it takes the place of what was before */
    TT_TRY(extend_command(p, SOFT_POLICY_AUTHORIZE, (struct tt_bytes){name, name_len}, nothing));
    TT_TRY(extend(p, who->ref));
    struct buf body = {0};
    struct writer w = writer_to(&body);
    wr_bytes(&w, who->signer);
    wr_vec16(&w, who->ref);
    tt_rc rc = wr_status(&w);
    if (rc == TT_OK && who->signature.len > 0)
        rc = buf_append(&body, who->signature.data, who->signature.len);
    else if (rc == TT_OK)
        rc = soft_signature(&body, false, 0, nothing);
    return statement_add_buf(p, SOFT_POLICY_AUTHORIZE, &body, rc);
}
