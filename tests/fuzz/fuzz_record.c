/* tests/fuzz/fuzz_record.c: tpm/loaded.h: the record of a process that is gone: whatever is in it, only
 * handles of objects and sessions come out, within the bounds. */
#include "fuzz.h"

#include <sys/mman.h>
#include <tss2/tss2_tpm2_types.h>
#include <unistd.h>

#include "base/mem.h"
#include "tpm/loaded.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct loaded l;
    int fd = memfd_create("record", MFD_CLOEXEC);
    FUZZ_CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    FUZZ_CHECK(loaded_read(&l, fd) == TT_OK);
    FUZZ_CHECK(l.where != NULL && l.len <= LOADED_MAX && l.sessions_len <= LOADED_SESSIONS);
    for (size_t i = 0; i < l.len; i++)
        FUZZ_CHECK(l.objects[i].handle >> 24 == TPM2_HT_TRANSIENT && l.objects[i].name_len > 0 &&
                   l.objects[i].name_len <= LOADED_NAME_MAX);
    for (size_t i = 0; i < l.sessions_len; i++)
        FUZZ_CHECK(l.sessions[i] >> 24 == TPM2_HT_HMAC_SESSION ||
                   l.sessions[i] >> 24 == TPM2_HT_POLICY_SESSION);
    FUZZ_CHECK(l.pending.kind <= LOADED_SESSION && l.pending.len <= LOADED_PUBLIC_MAX);
    mem_free(l.where);
    (void)close(fd);
    return 0;
}
