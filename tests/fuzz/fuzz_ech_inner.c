/* tests/fuzz/fuzz_ech_inner.c: what a server finds in the payload of encrypted_client_hello: any bytes, under
 * the right encryption, in a ClientHelloOuter of our own client. Input: EncodedClientHelloInner. What is
 * accepted has become a ClientHello without padding and without ech_outer_extensions. */
#include "engine.h"

#include "support/ech_craft.h"
#include "tls/client_hello.h"
#include "tls/ext.h"

static struct ech_craft craft;
static struct tt_config *config;
static struct buf outer; /* our client's ClientHello */

static void set_up(void)
{
    struct tt_ech_keys *keys = NULL;
    const struct test_key *k = fz_key(TT_SERVER);
    const struct tt_bytes chain = {k->cert, k->cert_len};
    const struct tt_identity id = {.chain = &chain,
                                   .chain_len = 1,
                                   .key = (void *)(uintptr_t)k,
                                   .schemes = &k->scheme,
                                   .schemes_len = 1};
    ech_craft_begin(&craft);
    const struct tt_ech_key key = {.pem = {craft.pem, craft.pem_len}};
    FUZZ_CHECK(tt_ech_keys_new(&keys, NULL) == TT_OK && tt_ech_keys_set(keys, &key, 1, NULL, NULL) == TT_OK);
    FUZZ_CHECK(tt_config_new(&config, TT_SERVER, NULL) == TT_OK);
    FUZZ_CHECK(tt_config_add_identity(config, &id, NULL) == TT_OK);
    FUZZ_CHECK(tt_config_set_ech_keys(config, keys) == TT_OK && tt_config_freeze(config, NULL) == TT_OK);
    tt_ech_keys_free(keys);
    struct tt_conn *c = fz_conn(TT_CLIENT, 0);
    struct tt_bytes hello = tt_conn_output(c);
    FUZZ_CHECK(buf_append(&outer, hello.data + 5, hello.len - 5) == TT_OK);
    tt_conn_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 8192)
        return 0;
    fz_begin();
    if (config == NULL)
        set_up();
    struct buf record = {0};
    struct tt_conn *c = NULL;
    struct tt_conn_info info;
    struct tt_bytes unused;
    const struct tt_conn_options o = {.now_ms = (int64_t)TEST_NOW * 1000};
    FUZZ_CHECK(tt_conn_new(&c, config, &o, NULL) == TT_OK);
    ech_craft_seal(&craft, &record, buf_bytes(&outer), (struct tt_bytes){data, size});
    fz_feed_all(c, buf_bytes(&record), 0);
    tt_conn_info(c, &info);
    struct client_hello hello;
    if (info.ech == TT_ECH_ACCEPTED && c->hs != NULL && buf_size(&c->hs->hello) > 0) {
        FUZZ_CHECK(client_hello_parse(&hello, buf_bytes(&c->hs->hello)) == TT_OK);
        FUZZ_CHECK(!ext_find(hello.extensions, EXT_ECH_OUTER_EXTENSIONS, &unused));
    }
    FUZZ_CHECK(info.ech == TT_ECH_ACCEPTED || tt_conn_error(c)->error.rc != TT_OK); /* it was decrypted */
    fz_check_sane(c);
    tt_conn_free(c);
    buf_free(&record);
    return 0;
}
