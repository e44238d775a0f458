/* A disk that fails on demand: preloaded into the daemon (LD_PRELOAD), it makes writes and fsyncs of the database fail.
 *
 * The file named by FAILFS_CONTROL is read before each call; while it is missing or empty everything works. It holds
 *
 *     CALLS SUFFIXES ERRNO WHEN
 *
 * CALLS: any of write, sync, truncate, joined by commas. SUFFIXES: how the file's path ends, joined by commas. ERRNO: a
 * number. WHEN: "before" fails the call without doing it, "after" does it and then reports failure, as a disk may whose
 * answer was lost; "stuck" waits until the file is gone, and then does it. Each failure adds a byte to the file of the same name with ".struck" at its end.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct fault {
    int error;
    int after;
};

/* Whether `word` is one of `list`, or one of `list` is how `word` ends. */
static int listed(char *list, const char *word, int as_suffix)
{
    size_t length = strlen(word);
    char *rest;
    for (char *item = strtok_r(list, ",", &rest); item; item = strtok_r(NULL, ",", &rest)) {
        size_t wanted = strlen(item);
        if (as_suffix ? length >= wanted && !strcmp(word + length - wanted, item) : !strcmp(word, item))
            return 1;
    }
    return 0;
}

static void note_strike(const char *control)
{
    char path[4096];
    snprintf(path, sizeof path, "%s.struck", control);
    int file = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file >= 0) {
        syscall(SYS_write, file, "x", 1);
        syscall(SYS_close, file);
    }
}

static struct fault fault_of(const char *call, int fd)
{
    struct fault none = {0, 0}, fault;
    char text[256], calls[64], suffixes[64], when[16], link[64], path[4096];
    const char *control = getenv("FAILFS_CONTROL");
    if (!control)
        return none;
    int file = syscall(SYS_openat, AT_FDCWD, control, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return none;
    ssize_t size = syscall(SYS_read, file, text, sizeof text - 1);
    syscall(SYS_close, file);
    if (size <= 0)
        return none;
    text[size] = 0;
    if (sscanf(text, "%63s %63s %d %15s", calls, suffixes, &fault.error, when) != 4)
        return none;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return none;
    path[length] = 0;
    fault.after = !strcmp(when, "after");
    if (!listed(calls, call, 0) || !listed(suffixes, path, 1))
        return none;
    note_strike(control);
    if (!strcmp(when, "stuck")) {
        while (!syscall(SYS_access, control, F_OK))
            usleep(5000);
        return none;
    }
    return fault;
}

#define FAILING(call, fd, name, type, ...)                                                                             \
    static type (*real)() = NULL;                                                                                      \
    if (!real)                                                                                                         \
        real = (type(*)())dlsym(RTLD_NEXT, name);                                                                      \
    struct fault fault = fault_of(call, fd);                                                                           \
    if (!fault.error)                                                                                                  \
        return real(__VA_ARGS__);                                                                                      \
    if (fault.after)                                                                                                   \
        real(__VA_ARGS__);                                                                                             \
    errno = fault.error;                                                                                               \
    return -1

ssize_t write(int fd, const void *data, size_t size) { FAILING("write", fd, "write", ssize_t, fd, data, size); }

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    FAILING("write", fd, "pwrite", ssize_t, fd, data, size, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
    FAILING("write", fd, "pwrite64", ssize_t, fd, data, size, offset);
}

int fsync(int fd) { FAILING("sync", fd, "fsync", int, fd); }

int fdatasync(int fd) { FAILING("sync", fd, "fdatasync", int, fd); }

int ftruncate(int fd, off_t size) { FAILING("truncate", fd, "ftruncate", int, fd, size); }

int ftruncate64(int fd, off64_t size) { FAILING("truncate", fd, "ftruncate64", int, fd, size); }
