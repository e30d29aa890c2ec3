/* tls/psk_pem.c: external PSKs as text, with the end that they are for. Layer: tls. RFC 9257 section 4: "each
 * PSK is known to exactly one client and one server and they never switch roles"; RFC 9258 section 5.1. */
#include "tls/session.h"
#include "wire/pem.h"
#include "wire/reader.h"
#include "wire/writer.h"

#define LABEL      "TPMTLS PSK"
#define PSK_FORMAT 1

/* Blocks of base/mem.c, so that nothing is left behind. */
tt_rc tt_psk_to_pem(char **ret, const struct tt_session *s, enum tt_role role)
{
    TT_AUTO(mem_free_auto) uint8_t *session = NULL;
    TT_AUTO(buf_free) struct buf body = {0};
    TT_AUTO(buf_free) struct buf pem = {0};
    size_t len = 0;
    if (!s->psk.external)
        return TT_ERR_USAGE;
    TT_TRY(tt_session_export(s, &session, &len));
    struct writer w = writer_to(&body);
    wr_u8(&w, PSK_FORMAT);
    wr_u8(&w, (uint8_t)role);
    wr_bytes(&w, (struct tt_bytes){session, len});
    TT_TRY(wr_status(&w));
    TT_TRY(pem_write(&pem, LABEL, buf_bytes(&body)));
    char *text = mem_dup(buf_front(&pem), buf_size(&pem));
    if (text == NULL)
        return TT_ERR_MEMORY;
    *ret = text;
    return TT_OK;
}

static tt_rc body_read(struct tt_session **ret, enum tt_role *ret_role, struct tt_bytes body)
{
    struct reader r = reader_of(body);
    uint8_t format = rd_u8(&r), role = rd_u8(&r);
    struct tt_session *s = NULL;
    if (rd_status(&r) != TT_OK || format != PSK_FORMAT || role > TT_SERVER)
        return TT_ERR_DECODE;
    TT_TRY(tt_session_import(&s, rd_rest(&r)));
    if (!s->psk.external) {
        tt_session_free(s);
        return TT_ERR_DECODE;
    }
    *ret_role = (enum tt_role)role;
    *ret = s;
    return TT_OK;
}

tt_rc tt_psk_from_pem(struct tt_session **ret, enum tt_role *ret_role, struct tt_bytes pem)
{
    struct pem_block block = {0};
    tt_rc rc = pem_find(&block, pem, LABEL);
    if (rc == TT_OK)
        rc = body_read(ret, ret_role, (struct tt_bytes){block.der, block.len});
    pem_block_free(&block);
    return rc == TT_ERR_NOT_FOUND ? TT_ERR_DECODE : rc;
}

tt_rc tt_psk_identity_read(struct tt_bytes identity, struct tt_bytes *ret_external,
                           struct tt_bytes *ret_context)
{
    struct reader r = reader_of(identity);
    struct tt_bytes external = rd_vec16(&r, 1), context = rd_vec16(&r, 0);
    (void)rd_u32(&r); /* target_protocol, target_kdf */
    TT_TRY(rd_done(&r));
    *ret_external = external;
    *ret_context = context;
    return TT_OK;
}
