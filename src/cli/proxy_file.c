/* cli/proxy_file.c: a file of tunnels: which sections it has. Layer: cli. cli/ini_file.c reads it. */
#include <string.h>

#include "base/mem.h"
#include "base/rc.h"
#include "cli/proxy.h"

static const char sections[] = "sections are [proxy], [client NAME] and [server NAME]";

/* Of the section that is being read; NULL: it is [proxy]. */
static struct proxy_tunnel *current(struct ini_reader *r)
{
    struct proxy_file *f = r->arg;
    return r->options.parts == proxy_common_file_parts ? NULL : &f->tunnels[f->tunnels_len - 1];
}

static bool is_name_taken(const struct proxy_file *f, const char *name)
{
    for (size_t i = 0; i < f->tunnels_len; i++)
        if (strcmp(f->tunnels[i].name, name) == 0)
            return true;
    return false;
}

static bool begin_tunnel(struct ini_reader *r, enum tt_role role, const char *name)
{
    struct proxy_file *f = r->arg;
    if (name[0] == '\0' || is_name_taken(f, name)) {
        ini_fault(r, name[0] == '\0' ? "the tunnel has no name" : "another tunnel has that name already",
                  "a section begins with [client NAME] or [server NAME]");
        return false;
    }
    if (f->tunnels_len == PROXY_TUNNELS_MAX) {
        ini_fault(r, "there are too many tunnels", "64 are the most for one process");
        return false;
    }
    struct proxy_tunnel *t = &f->tunnels[f->tunnels_len];
    t->name = ini_file_keep(&f->ini, name);
    t->role = role;
    t->trust.ca_option = role == TT_CLIENT ? "ca" : "client-ca";
    if (t->name == NULL)
        return false;
    f->tunnels_len++;
    options_begin(&r->options, role == TT_CLIENT ? proxy_client_file_parts : proxy_server_file_parts, t, "");
    return true;
}

static bool begin(struct ini_reader *r, const char *section)
{
    struct proxy_file *f = r->arg;
    if (strcmp(section, "proxy") == 0) {
        options_begin(&r->options, proxy_common_file_parts, &f->common, "");
        return true;
    }
    if (strncmp(section, "client", 6) == 0 && (section[6] == ' ' || section[6] == '\0'))
        return begin_tunnel(r, TT_CLIENT, section + 6 + strspn(section + 6, " "));
    if (strncmp(section, "server", 6) == 0 && (section[6] == ' ' || section[6] == '\0'))
        return begin_tunnel(r, TT_SERVER, section + 6 + strspn(section + 6, " "));
    ini_fault(r, "this section is not known", sections);
    return false;
}

/* By which a later reading sees whether a section has changed. */
static void keep_line(struct ini_reader *r, const char *name, const char *value)
{
    struct proxy_file *f = r->arg;
    struct proxy_tunnel *t = current(r);
    struct buf *text = t == NULL ? &f->common_text : &t->text;
    if (buf_append(text, name, strlen(name)) != TT_OK || buf_append(text, "=", 1) != TT_OK ||
        buf_append(text, value, strlen(value)) != TT_OK || buf_append(text, "\n", 1) != TT_OK)
        ini_fault(r, "there is no memory for it", "give the machine more, or the file less");
}

static void end(struct ini_reader *r, struct option_faults *f)
{
    const struct proxy_file *file = r->arg;
    const struct proxy_tunnel *t = current(r);
    if (t == NULL)
        proxy_common_check(&file->common, f);
    else
        proxy_tunnel_check(t, f);
}

static void whole(struct ini_reader *r)
{
    const struct proxy_file *f = r->arg;
    if (f->tunnels_len == 0)
        ini_fault(r, "there is no tunnel", "a section begins with [client NAME] or [server NAME]");
}

tt_rc proxy_file_read(struct proxy_file *ret, const char *path, struct tt_error *err)
{
    static const struct ini_form form = {
        .hint = sections, .begin = begin, .key = keep_line, .end = end, .whole = whole};
    struct options defaults;
    options_begin(&defaults, proxy_common_file_parts, &ret->common, "");
    ret->tunnels = mem_alloc(PROXY_TUNNELS_MAX * sizeof *ret->tunnels);
    if (ret->tunnels == NULL)
        return error_set(err, TT_ERR_MEMORY, "cannot read %s", path);
    return ini_read(&ret->ini, path, &form, ret, err);
}

void proxy_file_free(struct proxy_file *f)
{
    for (size_t i = 0; i < f->tunnels_len; i++)
        buf_free(&f->tunnels[i].text);
    buf_free(&f->common_text);
    mem_free(f->tunnels);
    ini_file_free(&f->ini);
    *f = (struct proxy_file){0};
}
