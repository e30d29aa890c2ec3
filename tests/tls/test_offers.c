/* tests/tls/test_offers.c: what the application may add to an offer or leave out of it, and what it learns of
 * the peer's: compression of its own, small records, names of CAs, schemes, no key share, GREASE. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "support/pump.h"
#include "tls/client_hello.h"
#include "tls/ext.h"
#include "tls/scene.h"

static void assert_connected(struct pump *p)
{
    if (!tt_conn_is_connected(p->client) || !tt_conn_is_connected(p->server))
        fail_msg("client: %s; server: %s", tt_conn_error(p->client)->error.text,
                 tt_conn_error(p->server)->error.text);
}

/* ---- an algorithm of certificate compression that the application has ---- */

#define OURS 0xff77

static struct {
    unsigned compressed, decompressed;
    bool fail_compress, fail_decompress, nothing;
} used;

static bool turn(void *arg, struct tt_bytes plain, uint8_t *ret, size_t *ret_len)
{
    assert_ptr_equal(arg, &used);
    used.compressed++;
    for (size_t i = 0; i < plain.len; i++)
        ret[i] = plain.data[i] ^ 0x55;
    ret[plain.len] = 7;
    *ret_len = used.nothing ? 0 : plain.len + 1;
    return !used.fail_compress;
}

static bool turn_back(void *arg, struct tt_bytes packed, uint8_t *ret, size_t len)
{
    assert_ptr_equal(arg, &used);
    used.decompressed++;
    if (used.fail_decompress || packed.len != len + 1)
        return false;
    for (size_t i = 0; i < len; i++)
        ret[i] = packed.data[i] ^ 0x55;
    return true;
}

static const struct tt_compressor ours = {OURS, &used, turn, turn_back};

static void compress_with_ours(struct pump *p, struct tt_config *client, struct tt_config *server)
{
    static const uint16_t algorithm = OURS;
    (void)p;
    struct tt_config *const both[] = {client, server};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(tt_config_set_certificate_compression(both[i], &algorithm, 1), TT_ERR_UNSUPPORTED);
        assert_int_equal(tt_config_add_compressor(both[i], &ours), TT_OK);
        assert_int_equal(tt_config_set_certificate_compression(both[i], &algorithm, 1), TT_OK);
    }
}

static void run_compressed(struct pump *p)
{
    *p = (struct pump){
        .configure = compress_with_ours, .client_auth = TT_CLIENT_AUTH_REQUIRE, .client_has_identity = true};
    used.compressed = used.decompressed = 0;
    pump_start(p);
    pump_run(p);
}

static void test_compression_of_the_application(void **state)
{
    (void)state;
    struct pump p;
    run_compressed(&p);
    assert_connected(&p);
    assert_int_equal(used.compressed, 2);
    assert_int_equal(used.decompressed, 2);
    assert_int_equal(tt_conn_peer_certificate(p.client, 0).len, p.server_key->cert_len);
    assert_memory_equal(tt_conn_peer_certificate(p.client, 0).data, p.server_key->cert,
                        p.server_key->cert_len);
    pump_free(&p);
}

static void test_compression_that_fails(void **state)
{
    (void)state;
    struct pump p;
    used.fail_decompress = true;
    run_compressed(&p);
    assert_int_equal(tt_conn_error(p.client)->alert_sent, TT_ALERT_BAD_CERTIFICATE);
    pump_free(&p);
    used.fail_decompress = false;
    bool *const failures[] = {&used.fail_compress, &used.nothing};
    for (size_t i = 0; i < 2; i++) {
        *failures[i] = true;
        run_compressed(&p);
        assert_int_equal(tt_conn_error(p.server)->error.rc, TT_ERR_INTERNAL);
        assert_int_equal(tt_conn_error(p.client)->alert_received, TT_ALERT_INTERNAL_ERROR);
        pump_free(&p);
        *failures[i] = false;
    }
}

static void test_compressors_that_cannot_be(void **state)
{
    (void)state;
    struct tt_config *cfg = NULL;
    assert_int_equal(tt_config_new(&cfg, TT_CLIENT, NULL), TT_OK);
    struct tt_compressor c = ours;
    c.algorithm = 16383; /* "Specification Required" */
    assert_int_equal(tt_config_add_compressor(cfg, &c), TT_ERR_USAGE);
    c.algorithm = 16384;
    c.compress = NULL;
    assert_int_equal(tt_config_add_compressor(cfg, &c), TT_ERR_USAGE);
    c = ours;
    for (uint16_t i = 0; i < 4; i++) {
        c.algorithm = (uint16_t)(16384 + i);
        assert_int_equal(tt_config_add_compressor(cfg, &c), TT_OK);
        assert_int_equal(tt_config_add_compressor(cfg, &c), TT_ERR_USAGE); /* twice */
    }
    c.algorithm = OURS;
    assert_int_equal(tt_config_add_compressor(cfg, &c), TT_ERR_USAGE); /* a fifth */
    tt_config_free(cfg);
}

/* ---- records no larger than this ---- */

static uint16_t fragment;

static void small_records(struct pump *p, struct tt_config *client, struct tt_config *server)
{
    (void)p;
    if (fragment != 0)
        assert_int_equal(tt_config_set_max_fragment(server, fragment), TT_OK);
    assert_int_equal(tt_config_set_max_fragment(client, 63), TT_ERR_USAGE);
    assert_int_equal(tt_config_set_max_fragment(client, 16385), TT_ERR_USAGE);
}

/* The longest record of what waits to be sent, without its header. */
static size_t longest_record(const struct tt_conn *c)
{
    size_t most = 0;
    struct reader r = reader_of(tt_conn_output(c));
    while (rd_left(&r) > 0) {
        (void)rd_bytes(&r, 3);
        size_t len = rd_vec16(&r, 0).len;
        most = len > most ? len : most;
    }
    assert_int_equal(rd_status(&r), TT_OK);
    return most;
}

static void test_records_are_no_larger_than_wanted(void **state)
{
    (void)state;
    static const uint16_t limits[] = {0, 64, 512, 16384};
    static const uint8_t data[20000];
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        const size_t most = limits[i] != 0 ? limits[i] : 16384;
        struct pump p = {.configure = small_records};
        fragment = limits[i];
        pump_start(&p);
        assert_true(pump_move(&p, p.client, p.server));
        pump_run(&p);
        assert_connected(&p);
        size_t n = 0;
        assert_int_equal(tt_conn_write(p.server, data, sizeof data, &n), TT_OK);
        assert_int_equal(n, sizeof data);
        assert_int_equal(longest_record(p.server), most + 1 + 16); /* the type byte and the tag */
        pump_free(&p);
    }
}

/* ---- what the peer offers ---- */

static const uint8_t first_name[] = {0x30, 0x0f, 0x31, 0x0d, 0x30, 0x0b, 6,   3,  0x55,
                                     4,    3,    0x0c, 4,    'n',  'o',  'n', 'e'};
static const uint8_t empty_name[] = {0x30, 0x00};
static bool keep;

static void name_authorities(struct pump *p, struct tt_config *client, struct tt_config *server)
{
    (void)p;
    static const uint16_t schemes[] = {TT_SCHEME_ECDSA_SECP256R1_SHA256, TT_SCHEME_RSA_PSS_RSAE_SHA256};
    const struct tt_bytes names[] = {{first_name, sizeof first_name}, {empty_name, sizeof empty_name}};
    assert_int_equal(tt_config_set_authorities(server, &(struct tt_bytes){empty_name, 1}, 1), TT_ERR_USAGE);
    assert_int_equal(tt_config_set_authorities(server, names, 2), TT_OK);
    assert_int_equal(tt_config_set_verify_schemes(server, schemes, 2), TT_OK);
    assert_int_equal(tt_config_set_grease(server, false), TT_OK);
    assert_int_equal(tt_config_set_keep_offers(client, keep), TT_OK);
}

static void test_what_the_peer_offers_is_kept(void **state)
{
    (void)state;
    for (int on = 0; on < 2; on++) {
        struct pump p = {.configure = name_authorities,
                         .client_auth = TT_CLIENT_AUTH_REQUIRE,
                         .client_has_identity = true};
        uint16_t schemes[2] = {0};
        keep = on == 1;
        pump_start(&p);
        pump_run(&p);
        assert_connected(&p); /* an identity that no name fits is better than none */
        assert_int_equal(tt_conn_peer_schemes(p.client, schemes, 1), on ? 2 : 0);
        assert_int_equal(schemes[0], on ? TT_SCHEME_ECDSA_SECP256R1_SHA256 : 0);
        assert_int_equal(schemes[1], 0); /* cap was 1 */
        struct tt_bytes name = tt_conn_peer_authority(p.client, 0);
        assert_int_equal(name.len, on ? sizeof first_name : 0);
        if (on)
            assert_memory_equal(name.data, first_name, sizeof first_name);
        assert_int_equal(tt_conn_peer_authority(p.client, 1).len, on ? sizeof empty_name : 0);
        assert_int_equal(tt_conn_peer_authority(p.client, 2).len, 0);
        assert_int_equal(tt_conn_peer_schemes(p.server, schemes, 2), 0); /* it did not ask for them */
        pump_free(&p);
    }
}

/* ---- a ClientHello without a key share ---- */

static void no_shares(struct pump *p, struct tt_config *client, struct tt_config *server)
{
    (void)p;
    (void)server;
    assert_int_equal(tt_config_set_key_shares(client, NULL, 0), TT_OK);
    assert_int_equal(tt_config_set_grease(client, false), TT_OK);
}

static struct tt_bytes hello_extension(const struct tt_conn *c, uint16_t type, struct client_hello *ret_hello)
{
    struct tt_bytes out = tt_conn_output(c), data = {NULL, 0};
    struct client_hello ch;
    assert_true(out.len > 5);
    assert_int_equal(client_hello_parse(&ch, (struct tt_bytes){out.data + 5, out.len - 5}), TT_OK);
    (void)ext_find(ch.extensions, type, &data);
    if (ret_hello != NULL)
        *ret_hello = ch;
    return data;
}

static void test_no_key_share_lets_the_server_choose(void **state)
{
    (void)state;
    struct pump p = {.configure = no_shares};
    struct tt_conn_info info;
    pump_start(&p);
    struct tt_bytes shares = hello_extension(p.client, EXT_KEY_SHARE, NULL);
    assert_int_equal(shares.len, 2); /* an empty vector */
    pump_run(&p);
    assert_connected(&p);
    tt_conn_info(p.client, &info);
    assert_true(info.hello_retry_request);
    pump_free(&p);
    struct pump control = {0};
    pump_start(&control);
    assert_true(hello_extension(control.client, EXT_KEY_SHARE, NULL).len > 32);
    pump_run(&control);
    tt_conn_info(control.client, &info);
    assert_false(info.hello_retry_request);
    pump_free(&control);
}

/* ---- GREASE: everywhere RFC 8701 has it ---- */

static bool is_reserved(uint16_t v)
{
    return (v & 0x0f0f) == 0x0a0a && v >> 8 == (v & 0xff);
}

static unsigned reserved_in(struct tt_bytes list)
{
    unsigned n = 0;
    for (size_t i = 0; i + 1 < list.len; i += 2)
        n += is_reserved((uint16_t)(list.data[i] << 8 | list.data[i + 1]));
    return n;
}

/* Of an extension block: reserved ones, and whether first and last (before pre_shared_key) are among them. */
static unsigned reserved_extensions(struct tt_bytes block, bool ret_ends[2])
{
    unsigned n = 0;
    bool first = true;
    for (struct reader r = reader_of(block); rd_left(&r) > 0;) {
        uint16_t type = rd_u16(&r);
        size_t len = rd_vec16(&r, 0).len;
        bool reserved = is_reserved(type);
        n += reserved;
        if (first)
            ret_ends[0] = reserved && len == 0;
        if (type != EXT_PRE_SHARED_KEY)
            ret_ends[1] = reserved && len == 1;
        first = false;
    }
    return n;
}

static struct tt_bytes behind(struct tt_bytes b, size_t n)
{
    assert_true(b.len >= n);
    return (struct tt_bytes){b.data + n, b.len - n};
}

static void check_hello(const struct tt_conn *c, unsigned one)
{
    struct client_hello ch;
    bool ends[2] = {false, false};
    struct tt_bytes modes = hello_extension(c, EXT_PSK_KEY_EXCHANGE_MODES, &ch);
    struct tt_bytes alpn = hello_extension(c, EXT_ALPN, NULL);
    assert_int_equal(reserved_in(ch.suites), one);
    assert_int_equal(reserved_in(behind(hello_extension(c, EXT_SUPPORTED_VERSIONS, NULL), 1)), one);
    assert_int_equal(reserved_in(behind(hello_extension(c, EXT_SUPPORTED_GROUPS, NULL), 2)), one);
    assert_int_equal(reserved_in(behind(hello_extension(c, EXT_SIGNATURE_ALGORITHMS, NULL), 2)), one);
    struct tt_bytes share = behind(hello_extension(c, EXT_KEY_SHARE, NULL), 2);
    assert_int_equal(reserved_in((struct tt_bytes){share.data, 2}), one);
    assert_int_equal(modes.len, 2); /* servers that refuse a reserved one there were seen */
    assert_int_equal(alpn.len, 2 + one * 3 + 5);
    if (one != 0)
        assert_int_equal(reserved_in((struct tt_bytes){alpn.data + 8, 2}), 1);
    assert_int_equal(reserved_extensions(ch.extensions, ends), 2 * one);
    assert_int_equal(ends[0] && ends[1], one != 0);
}

static bool grease_on;

static void set_grease(struct pump *p, struct tt_config *client, struct tt_config *server)
{
    (void)p;
    assert_int_equal(tt_config_set_grease(client, grease_on), TT_OK);
    assert_int_equal(tt_config_set_grease(server, grease_on), TT_OK);
}

static void test_grease_of_a_client(void **state)
{
    (void)state;
    for (int round = 0; round < 64; round++) { /* the two extensions never get the same type */
        struct pump p = {.configure = set_grease, .alpn_client = "mqtt", .alpn_server = "mqtt"};
        grease_on = round > 0;
        pump_start(&p);
        check_hello(p.client, grease_on ? 1 : 0);
        if (round < 3) {
            pump_run(&p);
            assert_connected(&p);
        }
        pump_free(&p);
    }
}

static void test_grease_of_a_server(void **state)
{
    (void)state;
    for (int on = 0; on < 2; on++) {
        struct scene s;
        memset(&s, 0, sizeof s);
        bool ends[2] = {false, false};
        scene_configs(&s, (struct scene_options){.client_auth = TT_CLIENT_AUTH_REQUIRE,
                                                 .client_identity = true,
                                                 .grease = on == 1});
        scene_open(&s);
        scene_reach(&s, TT_CLIENT, CLIENT_WAIT_CERT_CR);
        struct tt_bytes request = scene_next(&s, TT_CLIENT), schemes = {NULL, 0};
        assert_int_equal(request.data[0], TT_HS_CERTIFICATE_REQUEST);
        struct tt_bytes block = behind(request, 4 + 1 + 2);
        assert_int_equal(reserved_extensions(block, ends), on);
        assert_true(ext_find(block, EXT_SIGNATURE_ALGORITHMS, &schemes));
        assert_int_equal(reserved_in(behind(schemes, 2)), on);
        scene_finish(&s);
        scene_close(&s);
        scene_free(&s);
    }
}

static void note_ticket(void *arg, const struct tt_trace_event *event)
{
    size_t *size = arg;
    if (event->sent && !event->is_alert && event->type == TT_HS_NEW_SESSION_TICKET)
        *size = event->size;
}

static void test_grease_of_tickets(void **state)
{
    (void)state;
    size_t sent[2] = {0};
    for (int on = 0; on < 2; on++) {
        struct tt_tickets *tickets = NULL;
        const struct tt_ticket_key key = {{1}, {2}};
        assert_int_equal(tt_tickets_new(&tickets, TEST_NOW * 1000, NULL), TT_OK);
        assert_int_equal(tt_tickets_set_keys(tickets, &key, 1), TT_OK);
        struct pump p = {.configure = set_grease, .tickets = tickets, .tickets_count = 1};
        grease_on = on == 1;
        pump_start(&p);
        p.server->trace = note_ticket;
        p.server->trace_arg = &sent[on];
        pump_run(&p);
        assert_connected(&p);
        struct tt_session *session = tt_conn_take_session(p.client);
        assert_non_null(session);
        tt_session_free(session);
        pump_free(&p);
        tt_tickets_free(tickets);
    }
    assert_int_equal(sent[1], sent[0] + 4);
}

static void like_a_browser(struct pump *p, struct tt_config *client, struct tt_config *server)
{
    (void)p;
    assert_int_equal(tt_config_hello_like_browser(server), TT_ERR_USAGE);
    assert_int_equal(tt_config_hello_like_browser(client), TT_OK);
}

/* PKCS #1 is named in signature_algorithms, for certificates, and is not taken in CertificateVerify all the
 * same. */
static void test_like_a_browser(void **state)
{
    (void)state;
    struct pump p = {
        .configure = like_a_browser, .alpn_client = "h2", .alpn_server = "h2", .key_kind = "RSA"};
    pump_start(&p);
    struct tt_bytes schemes = behind(hello_extension(p.client, EXT_SIGNATURE_ALGORITHMS, NULL), 2);
    assert_true(list_has(schemes, TT_SCHEME_RSA_PKCS1_SHA256));
    assert_int_equal(reserved_in(schemes), 1);
    assert_int_equal(hello_extension(p.client, EXT_SIGNATURE_ALGORITHMS_CERT, NULL).len, 0);
    assert_int_equal(hello_extension(p.client, EXT_ALPN, NULL).len, 2 + 3);
    assert_int_equal(hello_extension(p.client, EXT_PSK_KEY_EXCHANGE_MODES, NULL).len, 2);
    assert_false(u16_list_has(&p.client_cfg->verify_schemes, TT_SCHEME_RSA_PKCS1_SHA256));
    pump_run(&p);
    assert_connected(&p);
    assert_int_equal(tt_config_hello_like_browser(p.client_cfg), TT_ERR_USAGE); /* frozen */
    pump_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compression_of_the_application),
        cmocka_unit_test(test_compression_that_fails),
        cmocka_unit_test(test_compressors_that_cannot_be),
        cmocka_unit_test(test_records_are_no_larger_than_wanted),
        cmocka_unit_test(test_what_the_peer_offers_is_kept),
        cmocka_unit_test(test_no_key_share_lets_the_server_choose),
        cmocka_unit_test(test_grease_of_a_client),
        cmocka_unit_test(test_grease_of_a_server),
        cmocka_unit_test(test_grease_of_tickets),
        cmocka_unit_test(test_like_a_browser),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
