/* tpm/doctor_places.c: where a TPM could be. Layer: tpm. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rc.h"
#include "tpm/doctor.h"

static struct tt_doctor_place *place(struct tt_doctor *d, const char *where)
{
    struct tt_doctor_place *p =
        &d->places[d->places_len < TT_DOCTOR_PLACES ? d->places_len++ : TT_DOCTOR_PLACES - 1];
    (void)snprintf(p->where, sizeof p->where, "%s", where);
    return p;
}

static void say_denied(struct tt_doctor_place *p, const struct stat *st)
{
    struct group entry, *found = NULL;
    char names[4096];
    if ((st->st_mode & 0060) == 0060 && st->st_gid != 0 &&
        getgrgid_r(st->st_gid, &entry, names, sizeof names, &found) == 0 && found != NULL)
        (void)snprintf(p->state, sizeof p->state,
                       "permission denied; the group %s may: usermod -aG %s YOU, log in again", entry.gr_name,
                       entry.gr_name);
    else
        (void)snprintf(p->state, sizeof p->state, "permission denied; no group may use it (mode %04o)",
                       (unsigned)st->st_mode & 07777U);
}

/* True: it can be opened. */
static bool device_state(struct tt_doctor_place *p, const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        (void)snprintf(p->state, sizeof p->state, "%s",
                       errno == ENOENT ? "not there" : strerrordesc_np(errno));
        return false;
    }
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0) {
        (void)close(fd);
        return true;
    }
    if (errno == EACCES || errno == EPERM)
        say_denied(p, &st);
    else if (errno == EBUSY)
        (void)snprintf(p->state, sizeof p->state, "another program has it open");
    else
        (void)snprintf(p->state, sizeof p->state, "cannot be opened: %s", strerrordesc_np(errno));
    return false;
}

static bool names_device(const char *spec, const char *path)
{
    if (strcmp(spec, "device") == 0)
        return strcmp(path, "/dev/tpmrm0") == 0;
    return strncmp(spec, "device:", 7) == 0 && strcmp(spec + 7, path) == 0;
}

void doctor_places(struct tt_doctor *d, const char *spec)
{
    static const struct {
        const char *path, *why_not;
    } devices[] = {
        {"/dev/tpmrm0", "passed over: another TPM was named"},
        {"/dev/tpm0", "passed over: it has no resource manager, so one program at a time can use it"},
    };
    bool named = true;
    for (size_t i = 0; i < TT_COUNT(devices); i++) {
        struct tt_doctor_place *p = place(d, devices[i].path);
        bool chosen = names_device(spec, devices[i].path);
        named = named && !chosen;
        if (device_state(p, devices[i].path))
            (void)snprintf(p->state, sizeof p->state, "%s", chosen ? "used" : devices[i].why_not);
    }
    if (named)
        (void)snprintf(place(d, spec)->state, sizeof d->places[0].state, "used, since it was named");
}
