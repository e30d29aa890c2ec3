/* tests/fuzz/fuzz_ech_config.c: ECHConfigList, as it comes from DNS, a file or a server's retry_configs. What
 * is chosen from a list lies within it and can be used. */
#include "fuzz.h"

#include "tls/ech.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct crypto_lib *lib;
    const struct tt_bytes list = {data, size};
    struct ech_config config = {0};
    struct hpke_suite suite = {0};
    if (lib == NULL)
        FUZZ_CHECK(crypto_lib_new(&lib, NULL) == TT_OK);
    if (ech_list_check(list) != TT_OK || !ech_config_select(&config, &suite, lib, list))
        return 0;
    FUZZ_CHECK(config.raw.data >= data + 2 && config.raw.data + config.raw.len <= data + size);
    FUZZ_CHECK(config.public_key.len == hpke_enc_size(config.kem) && config.public_name.len > 0);
    FUZZ_CHECK(ech_config_has_suite(&config, suite.kdf, suite.aead) && hpke_suite_available(lib, suite));
    return 0;
}
