/* gauge/versions.c: see versions.h. Layer: gauge. */
#include "gauge/versions.h"

#include <openssl/crypto.h>

void gauge_print_versions(FILE *to)
{
    fprintf(to, "libcrypto: %s (built with %s)\n", OpenSSL_version(OPENSSL_VERSION), OPENSSL_VERSION_TEXT);
    fputs(TT_LIBRARIES, to); /* "NAME: VERSION\n" each, from meson.build */
}
