/* tpm/spec.c: from a person's words ("device", "/dev/...", "embedded:DIR", a TCTI string) to an open TPM,
 * with an error that says what is in the way. Layer: tpm. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <tss2/tss2_rc.h>
#include <tss2/tss2_tctildr.h>
#include <unistd.h>

#include "tpm/context.h"
#include "tpm/embedded.h"
#include "tpm/lab.h"
#include "tpm/reopen.h"

#define DEFAULT_DEVICE "/dev/tpmrm0"

/* Everything after "NAME:" when spec is NAME or starts with "NAME:"; an empty string for NAME alone; else
 * NULL. */
static const char *spec_config(const char *spec, const char *name)
{
    size_t n = strlen(name);
    if (strncmp(spec, name, n) != 0 || (spec[n] != '\0' && spec[n] != ':'))
        return NULL;
    return spec[n] == ':' ? spec + n + 1 : "";
}

/* The advice for a device that we may not open: its group, where its group would be enough. */
static void hint_permission(const char *path, struct tt_error *err)
{
    struct stat st;
    struct group entry, *found = NULL;
    char names[4096];
    if (stat(path, &st) == 0 && (st.st_mode & 0060) == 0060 && st.st_gid != 0 &&
        getgrgid_r(st.st_gid, &entry, names, sizeof names, &found) == 0 && found != NULL)
        error_hint(err, "add your user to the group %s (`sudo usermod -aG %s \"$USER\"`) and log in again",
                   entry.gr_name, entry.gr_name);
    else
        error_hint(
            err,
            "run as root, or let a group use the device (tpm2-tss installs a udev rule for the group tss)");
}

static tt_rc device_refused(const char *path, int why, struct tt_error *err)
{
    switch (why) {
    case EACCES:
    case EPERM:
        (void)error_set(err, TT_ERR_TPM, "cannot open the TPM at %s: permission denied", path);
        hint_permission(path, err);
        return TT_ERR_TPM;
    case ENOENT:
    case ENXIO:
    case ENODEV:
        (void)error_set(err, TT_ERR_TPM, "cannot open the TPM at %s: there is no such device", path);
        error_hint(err,
                   "is a TPM present and enabled in the firmware's setup? \"embedded\" is an emulated one");
        return TT_ERR_TPM;
    case EBUSY:
        (void)error_set(err, TT_ERR_TPM, "cannot open the TPM at %s: another program has it open", path);
        error_hint(err,
                   "use the kernel's resource manager, " DEFAULT_DEVICE ", which many programs can share");
        return TT_ERR_TPM;
    default:
        return error_set(err, TT_ERR_TPM, "cannot open the TPM at %s: %s", path, strerrordesc_np(why));
    }
}

/* tpm2-tss would say "IO failure" for all of these. */
static tt_rc device_check(const char *path, struct tt_error *err)
{
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return device_refused(path, errno, err);
    struct stat st;
    bool device = fstat(fd, &st) == 0 && S_ISCHR(st.st_mode);
    (void)close(fd);
    if (!device)
        return error_set(err, TT_ERR_TPM, "cannot open the TPM at %s: it is not a device", path);
    return TT_OK;
}

/* The device TCTI leaves its descriptor open across exec. */
static void close_on_exec(TSS2_TCTI_CONTEXT *tcti)
{
    TSS2_TCTI_POLL_HANDLE handles[4];
    size_t n = TT_COUNT(handles);
    if (Tss2_Tcti_GetPollHandles(tcti, handles, &n) != TSS2_RC_SUCCESS)
        return;
    for (size_t i = 0; i < n && i < TT_COUNT(handles); i++)
        (void)fcntl(handles[i].fd, F_SETFD, FD_CLOEXEC);
}

static tt_rc open_tcti_string(struct tt_tpm **ret, const char *spec, const char *where, struct tt_error *err)
{
    TSS2_TCTI_CONTEXT *tcti = NULL;
    TSS2_RC rc = Tss2_TctiLdr_Initialize(spec, &tcti);
    if (rc != TSS2_RC_SUCCESS) {
        (void)error_set(err, TT_ERR_TPM, "cannot open the TPM at %s: %s (0x%x)", where, Tss2_RC_Decode(rc),
                        rc);
        if (rc == TSS2_TCTI_RC_IO_ERROR) /* the way is known, and nobody is at its end */
            error_hint(err, "is the TPM's emulator or resource manager running there?");
        else
            error_hint(err, "the choices are \"device\", \"/dev/tpmrm0\", \"embedded[:DIR]\" and the TCTI "
                            "strings of tpm2-tss, such as "
                            "\"swtpm:path=/run/swtpm.sock\"");
        return TT_ERR_TPM;
    }
    close_on_exec(tcti);
    return tpm_open_tcti(ret, tcti, Tss2_TctiLdr_Finalize, where, err);
}

static tt_rc open_device(struct tt_tpm **ret, const char *path, struct tt_error *err)
{
    if (path[0] == '\0')
        path = DEFAULT_DEVICE;
    TT_TRY(device_check(path, err));
    char tcti[512];
    if ((size_t)snprintf(tcti, sizeof tcti, "device:%s", path) >= sizeof tcti)
        return error_set(err, TT_ERR_USAGE, "the name of the TPM device is too long");
    return open_tcti_string(ret, tcti, path, err);
}

static bool names_emulator(const char *spec)
{
    return spec_config(spec, "swtpm") != NULL || spec_config(spec, "mssim") != NULL ||
           spec_config(spec, "libtpms") != NULL;
}

static tt_rc open_lab(struct tt_tpm **ret, const char *spec, const char *config, struct tt_error *err)
{
    char tcti[PATH_MAX + 1024];
    struct tt_error outer = {0};
    TT_TRY(lab_tcti_string(tcti, sizeof tcti, config, err));
    tt_rc rc = open_tcti_string(ret, tcti, spec, &outer);
    if (rc != TT_OK) {
        TT_TRY(lab_explain(config, err));
        if (err != NULL)
            *err = outer;
        return rc;
    }
    (*ret)->software = names_emulator(lab_inner(config));
    return TT_OK;
}

static tt_rc open_spec(struct tt_tpm **ret, const char *spec, struct tt_error *err)
{
    const char *config = spec_config(spec, "embedded");
    if (config != NULL)
        return embedded_open(ret, config, err);
    config = spec_config(spec, "device");
    if (config != NULL || spec[0] == '/')
        return open_device(ret, config != NULL ? config : spec, err);
    config = lab_config(spec);
    if (config != NULL)
        return open_lab(ret, spec, config, err);
    TT_TRY(open_tcti_string(ret, spec, spec, err));
    (*ret)->software = names_emulator(spec);
    return TT_OK;
}

tt_rc tt_tpm_open(struct tt_tpm **ret, const char *spec, struct tt_error *err)
{
    struct tt_tpm *tpm = NULL;
    if (spec == NULL || spec[0] == '\0')
        return error_set(err, TT_ERR_USAGE, "no TPM was named");
    tpm_silence();
    TT_TRY(open_spec(&tpm, spec, err));
    tt_rc rc = tpm_can_reopen(tpm, spec, err);
    if (rc != TT_OK) {
        tt_tpm_close(tpm);
        return rc;
    }
    *ret = tpm;
    return TT_OK;
}
