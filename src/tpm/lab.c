/* tpm/lab.c: finding and asking libtss2-tcti-tpmtls-lab.so. Layer: tpm. tpm2-tss' loader tries the part of a
 * TCTI string before the first colon as a path first, then as libtss2-tcti-NAME.so.0. */
#include "tpm/lab.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LAB_NAME   "tpmtls-lab"
#define LAB_MODULE "libtss2-tcti-" LAB_NAME ".so.0"

const char *lab_config(const char *spec)
{
    static const char *const names[] = {"lab", LAB_NAME};
    for (size_t i = 0; i < TT_COUNT(names); i++) {
        size_t n = strlen(names[i]);
        if (strncmp(spec, names[i], n) == 0 && (spec[n] == ':' || spec[n] == '\0'))
            return spec[n] == ':' ? spec + n + 1 : spec + n;
    }
    return NULL;
}

const char *lab_inner(const char *config)
{
    const char *colon = strchr(config, ':');
    return colon == NULL ? "" : colon + 1;
}

/* A colon in a path would end it for the loader. */
static bool usable(const char *path)
{
    return strchr(path, ':') == NULL && access(path, R_OK) == 0;
}

/* DIR/below/MODULE, where DIR holds the file. */
static bool beside(char *ret, size_t cap, const char *file, const char *below)
{
    const char *slash = strrchr(file, '/');
    if (slash == NULL)
        return false;
    int n = snprintf(ret, cap, "%.*s/%s" LAB_MODULE, (int)(slash - file), file, below);
    return n > 0 && (size_t)n < cap && usable(ret);
}

/* The module's path, or its bare name, which the dynamic loader finds when it is installed. */
static void module_find(char *ret, size_t cap)
{
    const char *dir = getenv("TPMTLS_LIBDIR");
    char exe[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[n > 0 ? n : 0] = '\0';
    if (dir != NULL && dir[0] == '/' && (size_t)snprintf(ret, cap, "%s/" LAB_MODULE, dir) < cap &&
        usable(ret))
        return;
    Dl_info here;
    if (beside(ret, cap, exe, "") || beside(ret, cap, exe, "../lib/"))
        return;
    if (dladdr(LAB_NAME, &here) != 0 && here.dli_fname != NULL && beside(ret, cap, here.dli_fname, ""))
        return; /* beside libtpmtls.so */
    (void)snprintf(ret, cap, LAB_MODULE);
}

tt_rc lab_tcti_string(char *ret, size_t cap, const char *config, struct tt_error *err)
{
    char module[PATH_MAX];
    module_find(module, sizeof module);
    const char *name = strchr(module, '/') != NULL ? module : LAB_NAME;
    int n = snprintf(ret, cap, "%s:%s", name, config);
    return n > 0 && (size_t)n < cap ? TT_OK : error_set(err, TT_ERR_USAGE, "the lab's string is too long");
}

tt_rc lab_explain(const char *config, struct tt_error *err)
{
    char module[PATH_MAX], text[256] = "";
    bool wrong = false;
    module_find(module, sizeof module);
    void *handle = dlopen(module, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        (void)error_set(err, TT_ERR_TPM, "the lab's module " LAB_MODULE " is not there");
        error_hint(err, "install tpmtls, or set TPMTLS_LIBDIR to the directory that holds it");
        return TT_ERR_TPM;
    }
    bool (*explain)(const char *config, char *text, size_t cap) = NULL;
    *(void **)&explain = dlsym(handle, "tpmtls_lab_explain");
    if (explain != NULL)
        wrong = explain(config, text, sizeof text);
    (void)dlclose(handle);
    if (!wrong)
        return TT_OK;
    (void)error_set(err, TT_ERR_USAGE, "%s", text);
    error_hint(
        err,
        "lab:profile=slb9670,fault=retry@Sign#2:swtpm:path=/run/swtpm.sock; docs/lab-tcti.md tells more");
    return TT_ERR_USAGE;
}
