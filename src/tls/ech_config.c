/* tls/ech_config.c: ECHConfigList (RFC 9849 section 4), and the choice from it (sections 6.1, 6.1.7). Layer:
 * tls. */
#include <string.h>

#include "tls/ech.h"

/* "there MUST NOT be more than one extension of the same type in the extensions block"; "an extension can be
 * tagged as mandatory by using an extension type codepoint with the high order bit set to 1" (section 4.2).
 */
static void config_extensions(struct ech_config *ret, struct reader *r, struct tt_bytes block)
{
    for (struct reader one = reader_of(block); rd_left(&one) > 0;) {
        uint16_t type = rd_u16(&one);
        (void)rd_vec16(&one, 0);
        if (rd_status(&one) != TT_OK) {
            rd_fail(r);
            return;
        }
        ret->mandatory_extension = ret->mandatory_extension || (type & 0x8000) != 0;
        for (struct reader other = one; rd_left(&other) > 0; (void)rd_vec16(&other, 0))
            if (rd_u16(&other) == type) {
                rd_fail(r);
                return;
            }
    }
}

static tt_rc config_contents(struct ech_config *ret, struct tt_bytes contents)
{
    struct reader r = reader_of(contents);
    ret->id = rd_u8(&r);
    ret->kem = rd_u16(&r);
    ret->public_key = rd_vec16(&r, 1);
    ret->suites = rd_vec16(&r, 4);
    ret->maximum_name_length = rd_u8(&r);
    ret->public_name = rd_vec8(&r, 1);
    struct tt_bytes extensions = rd_vec16(&r, 0);
    if (ret->suites.len % 4 != 0)
        rd_fail(&r);
    config_extensions(ret, &r, extensions);
    return rd_done(&r);
}

/* "Clients MUST ignore any ECHConfig structure with a version they do not support." Its length is there to
 * skip it. */
tt_rc ech_config_read(struct ech_config *ret, struct reader *r)
{
    const uint8_t *start = r->at;
    struct ech_config config = {.version = rd_u16(r)};
    struct tt_bytes contents = rd_vec16(r, 0);
    TT_TRY(rd_status(r));
    config.raw = (struct tt_bytes){start, (size_t)(r->at - start)};
    if (config.version == ECH_VERSION)
        TT_TRY(config_contents(&config, contents));
    *ret = config;
    return TT_OK;
}

tt_rc ech_list_check(struct tt_bytes list)
{
    struct reader all = reader_of(list);
    struct tt_bytes configs = rd_vec16(&all, 4);
    TT_TRY(rd_done(&all));
    struct ech_config config;
    for (struct reader r = reader_of(configs); rd_left(&r) > 0;)
        TT_TRY(ech_config_read(&config, &r));
    return TT_OK;
}

tt_rc tt_ech_config_describe(struct tt_ech_config_info *ret, struct tt_bytes list)
{
    struct reader all = reader_of(list);
    TT_TRY(ech_list_check(list));
    for (struct reader r = reader_of(rd_vec16(&all, 4)); rd_left(&r) > 0;) {
        struct ech_config c;
        TT_TRY(ech_config_read(&c, &r));
        if (c.version != ECH_VERSION)
            continue;
        *ret = (struct tt_ech_config_info){.kem = c.kem,
                                           .config_id = c.id,
                                           .maximum_name_length = c.maximum_name_length,
                                           .public_name = c.public_name,
                                           .public_key = c.public_key};
        return TT_OK;
    }
    return TT_ERR_UNSUPPORTED;
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(uint8_t c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_ldh(uint8_t c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
}

/* A label of letters, digits and hyphens, which are not at its ends (RFC 5890 section 2.3.1). */
static bool label_is_ldh(struct tt_bytes label)
{
    bool good = label.len > 0 && label.len <= 63 && label.data[0] != '-' && label.data[label.len - 1] != '-';
    for (size_t i = 0; good && i < label.len; i++)
        good = is_ldh(label.data[i]);
    return good;
}

/* "the final LDH label either consists of all ASCII digits ... or is "0x" or "0X" followed by some, possibly
 * empty, sequence of ASCII hexadecimal digits": such a name could be taken for an IPv4 address. */
static bool label_is_number(struct tt_bytes label)
{
    bool decimal = true, hex = label.len >= 2 && label.data[0] == '0' && (label.data[1] | 0x20) == 'x';
    for (size_t i = 0; i < label.len; i++) {
        decimal = decimal && is_digit(label.data[i]);
        hex = hex && (i < 2 || is_hex(label.data[i]));
    }
    return decimal || hex;
}

/* Section 6.1.7: "a dot-separated sequence of LDH labels". */
static bool public_name_is_valid(struct tt_bytes name)
{
    struct tt_bytes label = {name.data, 0};
    for (size_t i = 0; i <= name.len; i++) {
        if (i < name.len && name.data[i] != '.') {
            label.len++;
            continue;
        }
        if (!label_is_ldh(label))
            return false;
        if (i == name.len)
            return !label_is_number(label);
        label = (struct tt_bytes){name.data + i + 1, 0};
    }
    return false;
}

bool ech_config_has_suite(const struct ech_config *config, uint16_t kdf, uint16_t aead)
{
    for (struct reader r = reader_of(config->suites); rd_left(&r) > 0;) {
        uint16_t k = rd_u16(&r), a = rd_u16(&r);
        if (k == kdf && a == aead)
            return true;
    }
    return false;
}

/* The first of the config's suites that we have: its order is as good as ours. */
static bool choose_suite(struct hpke_suite *ret, const struct crypto_lib *lib,
                         const struct ech_config *config)
{
    for (struct reader r = reader_of(config->suites); rd_left(&r) > 0;) {
        struct hpke_suite suite = {.kem = config->kem};
        suite.kdf = rd_u16(&r);
        suite.aead = rd_u16(&r);
        if (hpke_suite_available(lib, suite)) {
            *ret = suite;
            return true;
        }
    }
    return false;
}

bool ech_config_select(struct ech_config *ret, struct hpke_suite *ret_suite, const struct crypto_lib *lib,
                       struct tt_bytes list)
{
    struct reader all = reader_of(list);
    for (struct reader r = reader_of(rd_vec16(&all, 4)); rd_left(&r) > 0;) {
        struct ech_config config;
        if (ech_config_read(&config, &r) != TT_OK)
            return false;
        if (config.version == ECH_VERSION && !config.mandatory_extension &&
            public_name_is_valid(config.public_name) && choose_suite(ret_suite, lib, &config) &&
            hpke_enc_check(lib, config.kem, config.public_key) == TT_OK) {
            *ret = config;
            return true;
        }
    }
    return false;
}

tt_rc ech_info(struct buf *to, struct tt_bytes config)
{
    struct writer w = writer_to(to);
    wr_bytes(&w, (struct tt_bytes){(const uint8_t *)"tls ech", 8}); /* with its zero */
    wr_bytes(&w, config);
    return wr_status(&w);
}
