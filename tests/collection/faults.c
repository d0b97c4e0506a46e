/* Lets one call of the system on the files below a folder fail, or be the last one. Loaded with LD_PRELOAD; Linux with glibc.

   Python, NumPy and SQLite all call these functions of the C library, so every open, read, write, fsync, rename, unlink and mmap of
   a collection is counted in one row. See faulty.py. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static char prefix[4096], only[64], calls[1 << 20];
static size_t length, told;
static long count, fails_at;
static int armed, fault, goes_on;

/* Count the calls below `folder`, or those of one name; the one of number `at`, and with `on` all after it, fail with `error`, or kill
   if that is 0. */
void faults_arm(const char *folder, const char *name, long at, int error, int on) {
    length = strlen(folder);
    memcpy(prefix, folder, length + 1);
    strncpy(only, name, sizeof only - 1);
    count = told = 0, fails_at = at, fault = error, goes_on = on, armed = 1;
    calls[0] = 0;
}

/* Count no more; a line for each call there was: its name and its file. */
const char *faults_disarm(void) {
    armed = 0;
    return calls;
}

static int fails(const char *name, const char *path) {
    if (!armed || !path || strncmp(path, prefix, length) || (*only && strcmp(only, name))) return 0;
    long number = __sync_fetch_and_add(&count, 1);
    if (told + 300 < sizeof calls) told += snprintf(calls + told, 300, "%s %.200s\n", name, path + length);
    if (number < fails_at || (number > fails_at && !goes_on) || fails_at < 0) return 0;
    if (!fault) kill(getpid(), SIGKILL);
    errno = fault;
    return 1;
}

static int handle_fails(const char *name, int handle) {
    char link[64], path[4096];
    if (!armed || handle < 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    long size = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    return fails(name, path);
}

#define BY_PATH(type, name, bad, types, values) \
    type name types { \
        static type (*real) types; \
        if (!real) real = dlsym(RTLD_NEXT, #name); \
        return fails(#name, path) ? bad : real values; \
    }
#define BY_HANDLE(type, name, bad, types, values) \
    type name types { \
        static type (*real) types; \
        if (!real) real = dlsym(RTLD_NEXT, #name); \
        return handle_fails(#name, handle) ? bad : real values; \
    }
#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        static int (*real)(const char *, int, ...); \
        va_list more; \
        if (!real) real = dlsym(RTLD_NEXT, #name); \
        va_start(more, flags); \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0; \
        va_end(more); \
        return fails(flags & (O_WRONLY | O_RDWR | O_CREAT) ? "create" : "open", path) ? -1 : real(path, flags, mode); \
    }

OPEN(open)
OPEN(open64)
BY_PATH(int, stat, -1, (const char *path, struct stat *to), (path, to))
BY_PATH(int, stat64, -1, (const char *path, struct stat64 *to), (path, to))
BY_PATH(int, lstat, -1, (const char *path, struct stat *to), (path, to))
BY_PATH(int, lstat64, -1, (const char *path, struct stat64 *to), (path, to))
BY_PATH(int, access, -1, (const char *path, int how), (path, how))
BY_PATH(int, mkdir, -1, (const char *path, mode_t mode), (path, mode))
BY_PATH(int, rmdir, -1, (const char *path), (path))
BY_PATH(int, unlink, -1, (const char *path), (path))
BY_PATH(int, rename, -1, (const char *path, const char *to), (path, to))
BY_PATH(DIR *, opendir, NULL, (const char *path), (path))
BY_HANDLE(int, fstat, -1, (int handle, struct stat *to), (handle, to))
BY_HANDLE(int, fstat64, -1, (int handle, struct stat64 *to), (handle, to))
BY_HANDLE(int, fsync, -1, (int handle), (handle))
BY_HANDLE(int, fdatasync, -1, (int handle), (handle))
BY_HANDLE(int, flock, -1, (int handle, int how), (handle, how))
BY_HANDLE(int, ftruncate, -1, (int handle, off_t size), (handle, size))
BY_HANDLE(int, ftruncate64, -1, (int handle, off64_t size), (handle, size))
BY_HANDLE(ssize_t, read, -1, (int handle, void *to, size_t size), (handle, to, size))
BY_HANDLE(ssize_t, pread, -1, (int handle, void *to, size_t size, off_t at), (handle, to, size, at))
BY_HANDLE(ssize_t, pread64, -1, (int handle, void *to, size_t size, off64_t at), (handle, to, size, at))
BY_HANDLE(ssize_t, write, -1, (int handle, const void *from, size_t size), (handle, from, size))
BY_HANDLE(ssize_t, pwrite, -1, (int handle, const void *from, size_t size, off_t at), (handle, from, size, at))
BY_HANDLE(ssize_t, pwrite64, -1, (int handle, const void *from, size_t size, off64_t at), (handle, from, size, at))
BY_HANDLE(void *, mmap, MAP_FAILED, (void *where, size_t size, int may, int how, int handle, off_t at), \
          (where, size, may, how, handle, at))
BY_HANDLE(void *, mmap64, MAP_FAILED, (void *where, size_t size, int may, int how, int handle, off64_t at), \
          (where, size, may, how, handle, at))
