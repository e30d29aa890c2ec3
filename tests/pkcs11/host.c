/* tests/pkcs11/host.c: a host of the module: loads it, signs, unloads it, and looks whether anything is left:
 * threads, descriptors, signal handlers, the module itself. Built without anything of ours. */
#include <dirent.h>
#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST(x)                                                                                              \
    do {                                                                                                     \
        unsigned long rv_ = (unsigned long)(x);                                                              \
        if (rv_ != 0) {                                                                                      \
            fprintf(stderr, "%s: 0x%lx\n", #x, rv_);                                                         \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

static unsigned count(const char *dir)
{
    unsigned n = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
        n += e->d_name[0] != '.';
    (void)closedir(d);
    return n;
}

static int is_mapped(const char *what)
{
    char line[1024];
    int found = 0;
    FILE *f = fopen("/proc/self/maps", "r");
    MUST(f == NULL);
    while (fgets(line, sizeof line, f) != NULL)
        found = found || strstr(line, what) != NULL;
    (void)fclose(f);
    return found;
}

static void handlers(struct sigaction all[64])
{
    for (int s = 1; s < 64; s++)
        (void)sigaction(s, NULL, &all[s]);
}

static void sign(CK_FUNCTION_LIST *p11)
{
    CK_SLOT_ID slots[64];
    CK_ULONG n = 64, one = 0, len = 256;
    CK_SESSION_HANDLE s;
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_KEY_TYPE ec = CKK_EC;
    CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof class}, {CKA_KEY_TYPE, &ec, sizeof ec}};
    CK_OBJECT_HANDLE key;
    CK_MECHANISM m = {CKM_ECDSA_SHA256, NULL, 0};
    CK_BYTE data[3] = {1}, sig[256];
    MUST(p11->C_GetSlotList(CK_TRUE, slots, &n));
    for (CK_ULONG i = 0; i < n && one == 0; i++) {
        MUST(p11->C_OpenSession(slots[i], CKF_SERIAL_SESSION, NULL, NULL, &s));
        MUST(p11->C_FindObjectsInit(s, t, 2));
        MUST(p11->C_FindObjects(s, &key, 1, &one));
        MUST(p11->C_FindObjectsFinal(s));
    }
    MUST(one != 1);
    MUST(p11->C_SignInit(s, &m, key));
    MUST(p11->C_Sign(s, data, sizeof data, sig, &len));
    MUST(count("/proc/self/task") != 1);
}

int main(int argc, char **argv)
{
    static struct sigaction before[64], after[64];
    CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
    if (argc != 2)
        return 2;
    void *libcrypto = dlopen("libcrypto.so.3", RTLD_NOW); /* as a host that uses it: it stays */
    MUST(libcrypto == NULL);
    unsigned fds = count("/proc/self/fd");
    handlers(before);
    for (int round = 0; round < 2; round++) {
        CK_FUNCTION_LIST *p11;
        void *module = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
        MUST(module == NULL);
        CK_C_GetFunctionList get = (CK_C_GetFunctionList)dlsym(module, "C_GetFunctionList");
        MUST(get(&p11));
        MUST(p11->C_Initialize(&args));
        sign(p11);
        MUST(p11->C_Finalize(NULL));
        MUST(dlclose(module));
        MUST(is_mapped("tpmtls-pkcs11"));
    }
    handlers(after);
    MUST(count("/proc/self/task") != 1);
    MUST(count("/proc/self/fd") != fds);
    for (int s = 1; s < 64; s++)
        MUST(before[s].sa_handler != after[s].sa_handler ? s : 0);
    return 0;
}
