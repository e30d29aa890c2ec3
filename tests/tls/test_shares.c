/* tests/tls/test_shares.c: key shares as an attacker would make them, in the manner of Wycheproof: points of
 * low order, off the curve, at infinity, compressed, not reduced, of a wrong length; before each end of a
 * real handshake. RFC 9846 sections 4.3.8.2 and 7.4.2, RFC 7748 sections 5 and 6. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "tls/edit.h"

/* What RFC 9846 demands here. Section 7.4.2: "Implementations MUST check whether the computed Diffie-Hellman
 * shared secret is the all-zero value and abort if so". */

struct share_row {
    const char *what;
    uint16_t group;
    bool valid;
    const char *hex;
};

#define P256_SQRT_B " 66485c780e2f83d72433bd5d84a06bb6541c2af31dae871728bf856a174f93f4" /* y where x is 0 */
#define X25519_A    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b8"    /* of order 8 */
#define X25519_B    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f11"

static const struct share_row rows[] = {
    {"the base point", TT_GROUP_X25519, true, "09 00*31"},
    {"p + 3, not reduced (RFC 7748 section 5)", TT_GROUP_X25519, true, "f0 ff*30 7f"},
    {"the unused bit set (RFC 7748 section 5)", TT_GROUP_X25519, true, "09 00*30 80"},
    {"0", TT_GROUP_X25519, false, "00*32"},
    {"0 and the unused bit", TT_GROUP_X25519, false, "00*31 80"},
    {"1", TT_GROUP_X25519, false, "01 00*31"},
    {"of order 8", TT_GROUP_X25519, false, X25519_A "00"},
    {"of order 8, and the unused bit", TT_GROUP_X25519, false, X25519_A "80"},
    {"of order 8, the other", TT_GROUP_X25519, false, X25519_B "57"},
    {"of order 8, the other, and the unused bit", TT_GROUP_X25519, false, X25519_B "d7"},
    {"p - 1", TT_GROUP_X25519, false, "ec ff*30 7f"},
    {"p, which is 0", TT_GROUP_X25519, false, "ed ff*30 7f"},
    {"p + 1, which is 1", TT_GROUP_X25519, false, "ee ff*30 7f"},
    {"31 bytes", TT_GROUP_X25519, false, "09 00*30"},
    {"33 bytes", TT_GROUP_X25519, false, "09 00*32"},
    {"the base point", TT_GROUP_X448, true, "05 00*55"},
    {"p + 2, not reduced", TT_GROUP_X448, true, "01 00*27 ff*28"},
    {"0", TT_GROUP_X448, false, "00*56"},
    {"1", TT_GROUP_X448, false, "01 00*55"},
    {"p - 1", TT_GROUP_X448, false, "fe ff*27 fe ff*27"},
    {"p, which is 0", TT_GROUP_X448, false, "ff*28 fe ff*27"},
    {"p + 1, which is 1", TT_GROUP_X448, false, "00*28 ff*28"},
    {"55 bytes", TT_GROUP_X448, false, "05 00*54"},
    {"57 bytes", TT_GROUP_X448, false, "05 00*56"},
    {"the base point", TT_GROUP_SECP256R1, true, "04" P256_X P256_Y},
    {"x is 0", TT_GROUP_SECP256R1, true, "04 00*32" P256_SQRT_B},
    {"x is p, which is 0", TT_GROUP_SECP256R1, false, "04" P256_P P256_SQRT_B},
    {"off the curve", TT_GROUP_SECP256R1, false, "04" P256_X P256_X},
    {"(0, 0)", TT_GROUP_SECP256R1, false, "04 00*64"},
    {"all ones", TT_GROUP_SECP256R1, false, "04 ff*64"},
    {"infinity", TT_GROUP_SECP256R1, false, "00"},
    {"infinity, as long as a point", TT_GROUP_SECP256R1, false, "00*65"},
    {"compressed", TT_GROUP_SECP256R1, false, "03" P256_X},
    {"compressed, as long as a point", TT_GROUP_SECP256R1, false, "03" P256_X "00*32"},
    {"hybrid form", TT_GROUP_SECP256R1, false, "07" P256_X P256_Y},
    {"another form", TT_GROUP_SECP256R1, false, "05" P256_X P256_Y},
    {"no form at all", TT_GROUP_SECP256R1, false, P256_X P256_Y},
    {"a byte short", TT_GROUP_SECP256R1, false, "04" P256_X "4fe342e2"},
    {"a byte long", TT_GROUP_SECP256R1, false, "04" P256_X P256_Y "00"},
    {"the base point", TT_GROUP_SECP384R1, true, "04" P384_X P384_Y},
    {"off the curve", TT_GROUP_SECP384R1, false, "04" P384_X P384_X},
    {"a point of P-256", TT_GROUP_SECP384R1, false, "04" P256_X P256_Y},
    {"infinity", TT_GROUP_SECP384R1, false, "00"},
    {"compressed", TT_GROUP_SECP384R1, false, "02" P384_X},
    {"hybrid form", TT_GROUP_SECP384R1, false, "06" P384_X P384_Y},
    {"(0, 0)", TT_GROUP_SECP521R1, false, "04 00*132"},
    {"all ones", TT_GROUP_SECP521R1, false, "04 ff*132"},
    {"infinity", TT_GROUP_SECP521R1, false, "00"},
    {"a point of P-256", TT_GROUP_SECP521R1, false, "04" P256_X P256_Y},
    /* ML-KEM (FIPS 203 section 7.2): coefficients of the encapsulation key are below q */
    {"coefficients above q", TT_GROUP_X25519MLKEM768, false, "ff*1184 09 00*31"},
    {"coefficients above q", TT_GROUP_SECP256R1MLKEM768, false, "04" P256_X P256_Y "ff*1184"},
    {"a byte short", TT_GROUP_X25519MLKEM768, false, "00*1183 09 00*31"},
    {"the classical part alone", TT_GROUP_X25519MLKEM768, false, "09 00*31"},
    {"X25519 of order 1", TT_GROUP_X25519MLKEM768, false, "00*1184 00*32"},
    {"P-256 off the curve", TT_GROUP_SECP256R1MLKEM768, false, "04" P256_X P256_X "00*1184"},
};

/* The key_share extension with this one share. In a ClientHello it stands in a list. */
static struct edit share_edit(char *text, size_t cap, const struct share_row *row, bool in_list)
{
    static uint8_t share[2048];
    size_t n = hex_bytes(share, sizeof share, row->hex);
    int at = in_list ? snprintf(text, cap, "%04zx", n + 4) : 0;
    at += snprintf(text + at, cap - (size_t)at, "%04x%04zx", row->group, n);
    for (size_t i = 0; i < n; i++)
        at += snprintf(text + at, cap - (size_t)at, "%02x", share[i]);
    return (struct edit){OP_PUT, EXT_KEY_SHARE, text, 0};
}

/* Before `end`, in the message that brings the other end's share. */
static void give(struct scene *s, enum tt_role end, const struct share_row *row)
{
    static struct msg m;
    static char text[8192];
    scene_open(s);
    if (end == TT_CLIENT)
        scene_reach(s, TT_CLIENT, CLIENT_WAIT_SH);
    msg_set(&m, scene_next(s, end));
    buf_consume(&s->inbox[end], m.len);
    const struct edit edit = share_edit(text, sizeof text, row, end == TT_SERVER);
    msg_edit(&m, &edit);
    (void)!row_deliver(s, end, (struct tt_bytes){m.data, m.len});
    if (row->valid)
        scene_expect_well(s, end, row->what);
    else
        scene_expect_alert(s, end, row->what, TT_ALERT_ILLEGAL_PARAMETER);
}

static bool group_is_there(uint16_t group)
{
    struct tt_config *probe = NULL;
    assert_int_equal(tt_config_new(&probe, TT_CLIENT, NULL), TT_OK);
    bool there = tt_config_set_groups(probe, &group, 1) == TT_OK;
    tt_config_free(probe);
    return there;
}

static void shares(void **state)
{
    (void)state;
    struct scene s = {0};
    for (size_t i = 0; i < TT_COUNT(rows); i++) {
        bool is_new = i == 0 || rows[i].group != rows[i - 1].group;
        if (is_new && s.cfg[TT_CLIENT] != NULL) {
            scene_free(&s);
            s = (struct scene){0};
        }
        if (!group_is_there(
                rows[i].group)) { /* only the post-quantum ones may be missing (libcrypto < 3.5) */
            assert_true(rows[i].group >= 0x1000);
            continue;
        }
        if (s.cfg[TT_CLIENT] == NULL)
            scene_configs(
                &s, (struct scene_options){.client_group = rows[i].group, .server_group = rows[i].group});
        give(&s, TT_SERVER, &rows[i]);
        /* A server's share for ML-KEM has another form: there each of these is of a wrong length. */
        give(&s, TT_CLIENT, &rows[i]);
    }
    if (s.cfg[TT_CLIENT] != NULL)
        scene_free(&s);
}

/* As many shares as a client has groups (section 4.3.8): their number is no fault, the same one again is. */
static void many_shares(void **state)
{
    (void)state;
    enum {
        MANY = 2000
    };
    static char groups[MANY * 4 + 16], entries[MANY * 13 + 128];
    static struct msg m;
    for (int twice = 0; twice < 2; twice++) {
        struct scene *s = scene_of(KIND_PLAIN);
        size_t g = (size_t)snprintf(groups, sizeof groups, "%04x 001d", 2 * MANY + 2);
        size_t e = (size_t)snprintf(entries, sizeof entries, "%04x 001d 0020 09 00*31 ", 5 * MANY + 36);
        for (unsigned i = 0; i < MANY; i++) {
            g += (size_t)snprintf(groups + g, sizeof groups - g, "%04x", 0x4000 + i);
            e += (size_t)snprintf(entries + e, sizeof entries - e, "%04x 0001 00",
                                  0x4000 + (twice && i == MANY - 1 ? 0 : i));
        }
        scene_open(s);
        msg_set(&m, scene_next(s, TT_SERVER));
        msg_edit(&m, &(struct edit){OP_PUT, EXT_SUPPORTED_GROUPS, groups, 0});
        msg_edit(&m, &(struct edit){OP_PUT, EXT_KEY_SHARE, entries, 0});
        (void)!row_deliver(s, TT_SERVER, (struct tt_bytes){m.data, m.len});
        if (twice)
            scene_expect_alert(s, TT_SERVER, "the first one again", TT_ALERT_ILLEGAL_PARAMETER);
        else
            scene_expect_well(s, TT_SERVER, "2001 shares");
    }
    scenes_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(shares), cmocka_unit_test(many_shares)};
    return cmocka_run_group_tests_name("tls/shares", tests, NULL, NULL);
}
