/* lab/profile.c: the table of figures, and what follows from them. Layer: lab.
 *
 * Published (wolfTPM, README.md "TPM2 Benchmarks", github.com/wolfSSL/wolfTPM, as of commit a5a400b, 2026;
 * and its docs/benchmarks.md): the averages of ECDSA sign and verify, ECDHE, key generation, RSA private and
 * public, and the rate of the random number generator. They were taken on different boards and buses and are
 * no ranking. Published (Chrome's field study, quoted in stiankri.substack.com/p/tpm-performance): an ECDSA
 * P-256 signature on PCs takes 200 ms in the median and 600 ms at the 95th percentile.
 *
 * Not published, and derived here:
 *  - brief: 32 bytes at the generator's published rate; stands for every command without asymmetric
 * arithmetic.
 *  - wolfTPM's "key gen" times TPM2_Create + TPM2_Load + TPM2_FlushContext (examples/bench/bench.c). So
 * TPM2_Create is key gen less the other two; TPM2_CreatePrimary is key gen.
 *  - TPM2_Load of an EC key recomputes the public point: a signature's time, but at most half of key gen. Of
 * an RSA key: a fifth of a private operation (swtpm: 0.52 ms to 2.6 ms).
 *  - Saved contexts: a tenth of TPM2_Load (swtpm: 0.04 to 0.44 ms). HMAC, Unseal: four brief ones (swtpm:
 * 0.075 to 0.017 ms). A session: two brief ones; salted: the private operation it needs on top.
 *  - Other sizes: private operations grow with the cube of the bits, RSA key generation with the fourth
 * power.
 *  - The spread of a chip: nothing is published but averages; uniform within 10% is an assumption.
 *  - "pc": only the signature is published. The rest has the ratios of NPCT650, the published chip whose
 * signature is nearest to that median. */
#include "lab/profile.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <tss2/tss2_tpm2_types.h>

/* ln(600 / 200) / 1.6449, since 95% of a normal distribution lie below 1.6449 deviations. */
#define PC_SIGMA 0.6679

static const struct lab_profile profiles[] = {
    /* name, chip, sign, verify, ecdh, ecc_keygen, rsa_private, rsa_public, rsa_keygen, brief, sha384, sigma
     */
    {"ns350", "Nations NS350, SPI 33 MHz", 16816, 21921, 26532, 52095, 51735, 7980, 2378893, 5479, true, 0},
    {"slb9670", "Infineon SLB9670, SPI 43 MHz", 68865, 113539, 232144, 231350, 163207, 8893, 2196230, 2227,
     false, 0},
    {"slb9672", "Infineon SLB9672, SPI 43 MHz", 35621, 24114, 65948, 135956, 76996, 9095, 1567678, 1393, true,
     0},
    {"st33ktpm", "STMicro ST33KTPM2XSPI, SPI 33 MHz", 25251, 36543, 66391, 89172, 90806, 6468, 1944057, 1357,
     true, 0},
    {"npct650", "Nuvoton NPCT650", 190149, 265216, 175915, 147608, 540926, 13078, 4479152, 5043, false, 0},
    {"npct750", "Nuvoton NPCT750, SPI 43 MHz", 56399, 39164, 29402, 84020, 70261, 7490, 3408678, 2175, true,
     0},
    {"qvault", "SEALSQ QVault, SPI", 72781, 60661, 206022, 292538, 164827, 14289, 6845188, 3315, true, 0},
    {"jetson", "NVIDIA Jetson Orin, firmware TPM in OP-TEE", 45139, 31737, 89632, 120163, 11900, 874, 736433,
     56, true, 0},
    {"pc", "the median of PCs in the field", 200000, 278955, 185028, 155254, 568948, 13755, 4711198, 5304,
     true, PC_SIGMA},
};

const struct lab_profile *lab_profile_find(const char *name)
{
    for (size_t i = 0; i < TT_COUNT(profiles); i++)
        if (strcasecmp(profiles[i].name, name) == 0)
            return &profiles[i];
    return NULL;
}

void lab_profile_names(char *ret, size_t cap)
{
    size_t n = 0;
    ret[0] = '\0';
    for (size_t i = 0; i < TT_COUNT(profiles) && n < cap; i++)
        n += (size_t)snprintf(ret + n, cap - n, "%s%s", n == 0 ? "" : " ", profiles[i].name);
}

/* ---- sizes ---- */

/* struct size: what an asymmetric operation works on. */
struct size {
    bool rsa;
    uint32_t bits;
};

static struct size size_of_public(struct lab_public p)
{
    if (p.type == TPM2_ALG_RSA)
        return (struct size){true, p.bits};
    uint32_t bits = p.curve == TPM2_ECC_NIST_P521 ? 521 : p.curve == TPM2_ECC_NIST_P384 ? 384 : 256;
    return (struct size){false, p.type == TPM2_ALG_ECC ? bits : 0};
}

/* From TPMT_SIGNATURE at the front of the parameters (TPM2_Sign) or behind the attested data (TPM2_Quote
 * ...). */
static struct size size_of_signature(const struct lab_command *c, struct reader *r)
{
    if (c->code != TPM2_CC_Sign)
        (void)rd_vec16(r, 0);
    uint16_t alg = rd_u16(r);
    (void)rd_u16(r); /* hash */
    size_t bytes = rd_vec16(r, 0).len;
    bool rsa = alg == TPM2_ALG_RSASSA || alg == TPM2_ALG_RSAPSS;
    uint32_t bits = rsa ? (uint32_t)bytes * 8 : bytes > 48 ? 521 : bytes > 32 ? 384 : 256;
    return (struct size){rsa, bits};
}

/* base at `from` bits grows with this power of the bits. */
static uint64_t grow(uint64_t base, uint32_t bits, uint32_t from, unsigned power)
{
    double v = (double)base;
    for (unsigned i = 0; i < power && bits > 0; i++)
        v = v * bits / from;
    return (uint64_t)v;
}

static uint64_t private_cost(const struct lab_profile *p, struct size s)
{
    return s.rsa ? grow(p->rsa_private, s.bits, 2048, 3) : grow(p->sign, s.bits, 256, 3);
}

static uint64_t load_cost(const struct lab_profile *p, struct size s)
{
    if (s.bits == 0)
        return 4 * (uint64_t)p->brief; /* a sealed or symmetric object */
    if (s.rsa)
        return private_cost(p, s) / 5;
    uint64_t sign = private_cost(p, s), half = grow(p->ecc_keygen, s.bits, 256, 3) / 2;
    return sign < half ? sign : half;
}

static uint64_t keygen_cost(const struct lab_profile *p, struct size s)
{
    if (s.bits == 0)
        return 4 * (uint64_t)p->brief;
    return s.rsa ? grow(p->rsa_keygen, s.bits, 2048, 4) : grow(p->ecc_keygen, s.bits, 256, 3);
}

static uint64_t create_cost(const struct lab_profile *p, struct size s)
{
    uint64_t keygen = keygen_cost(p, s), rest = load_cost(p, s) + p->brief;
    return keygen > rest + p->brief ? keygen - rest : p->brief;
}

/* tpmKey, bind, nonceCaller, encryptedSalt: an RSA salt is as long as a modulus, an EC one holds a point. */
static uint64_t session_cost(const struct lab_profile *p, const struct lab_command *c)
{
    struct reader r = reader_of(c->params);
    (void)rd_vec16(&r, 0);
    size_t salt = rd_vec16(&r, 0).len;
    uint64_t plain = 2 * (uint64_t)p->brief;
    return salt == 0 ? plain : plain + (salt >= 256 ? p->rsa_private : p->ecdh);
}

uint64_t lab_profile_cost(const struct lab_profile *p, const struct lab_exchange *x)
{
    const struct lab_command *c = x->command;
    struct reader r = reader_of(x->response);
    uint16_t tag = rd_u16(&r);
    (void)rd_u32(&r);
    if (rd_u32(&r) != TPM2_RC_SUCCESS || r.failed || c->kind == NULL)
        return p->brief;
    if (tag == TPM2_ST_SESSIONS)
        (void)rd_u32(&r); /* parameterSize */
    switch (c->kind->work) {
    case LAB_SIGN:
        return private_cost(p, size_of_signature(c, &r));
    case LAB_VERIFY:
        return p->verify;
    case LAB_RSA_PRIVATE: {
        struct reader in = reader_of(c->params);
        return private_cost(p, (struct size){true, (uint32_t)rd_vec16(&in, 0).len * 8});
    }
    case LAB_RSA_PUBLIC:
        return p->rsa_public;
    case LAB_ECDH:
        return p->ecdh;
    case LAB_CREATE:
        return create_cost(p, size_of_public(lab_command_public(c)));
    case LAB_CREATE_PRIMARY:
        return keygen_cost(p, size_of_public(lab_command_public(c)));
    case LAB_LOAD:
        return load_cost(p, size_of_public(lab_command_public(c)));
    case LAB_CONTEXT:
        return load_cost(p, (struct size){false, 256}) / 10;
    case LAB_SESSION:
        return session_cost(p, c);
    case LAB_HMAC:
        return 4 * (uint64_t)p->brief;
    case LAB_SHORT:
        break;
    }
    return p->brief;
}

/* ---- jitter ---- */

uint64_t lab_random(uint64_t seed, uint64_t n)
{
    uint64_t z = seed + (n + 1) * 0x9e3779b97f4a7c15ULL;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

/* In (0, 1). */
static double unit(uint64_t v)
{
    return ((double)(v >> 11) + 0.5) / 9007199254740992.0;
}

uint64_t lab_profile_jitter(const struct lab_profile *p, uint64_t cost, uint64_t seed, uint64_t n)
{
    double a = unit(lab_random(seed, 2 * n)), b = unit(lab_random(seed, 2 * n + 1));
    if (p->sigma == 0.0)
        return (uint64_t)((double)cost * (0.9 + 0.2 * a));
    double normal = sqrt(-2.0 * log(a)) * cos(6.283185307179586 * b); /* Box and Muller */
    return (uint64_t)((double)cost * exp(p->sigma * normal));
}
