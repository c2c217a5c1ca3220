/* A disk in trouble, for one process: preloaded, it stands between the host and the calls that its database makes.
 *
 * DISK_CONTROL names a file whose first word says what is wrong now; without it the disk is well:
 *   full      writes and growth answer ENOSPC
 *   readonly  writes and growth answer EROFS, and nothing is opened for writing
 *   lost      fsync answers EIO, and what was written since the last one is not on the disk: it reads as zeros
 *   broken    reads answer EIO
 * Every answer of that kind leaves a byte in DISK_CONTROL.met. Only files with ".db" in their name are meant.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define KEPT 65536

struct range { dev_t device; ino_t file; off_t offset; size_t length; };

static struct range unsynced[KEPT];
static size_t ranges;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int is_database_path(const char *path) { return path && strstr(path, ".db") && !strstr(path, ".lock"); }

static int is_database(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return is_database_path(path);
}

static int wrong(const char *what) {
    const char *control = getenv("DISK_CONTROL");
    if (!control) return 0;
    int fd = syscall(SYS_openat, AT_FDCWD, control, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) return 0;
    char word[32] = {0};
    ssize_t length = syscall(SYS_read, fd, word, sizeof word - 1);
    syscall(SYS_close, fd);
    size_t wanted = strlen(what);
    return length >= (ssize_t)wanted && strncmp(word, what, wanted) == 0;
}

static int met(int error) {
    char path[4096];
    snprintf(path, sizeof path, "%s.met", getenv("DISK_CONTROL"));
    int fd = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd >= 0) {
        syscall(SYS_write, fd, "x", 1);
        syscall(SYS_close, fd);
    }
    errno = error;
    return -1;
}

/* 0: the write may go on. */
static int no_write(int fd) {
    int full = wrong("full"), readonly = !full && wrong("readonly");
    if ((full || readonly) && is_database(fd)) return met(full ? ENOSPC : EROFS);
    return 0;
}

static void written(int fd, off_t offset, ssize_t length) {
    struct stat is;
    if (length <= 0 || !is_database(fd) || fstat(fd, &is) != 0) return;
    pthread_mutex_lock(&lock);
    if (ranges < KEPT)
        unsynced[ranges++] = (struct range){is.st_dev, is.st_ino, offset, (size_t)length};
    pthread_mutex_unlock(&lock);
}

static void zero(int fd, off_t offset, size_t length) {
    static const char zeros[4096];
    while (length > 0) {
        size_t part = length < sizeof zeros ? length : sizeof zeros;
        syscall(SYS_pwrite64, fd, zeros, part, offset);
        offset += part;
        length -= part;
    }
}

/* The file's unsynced ranges are on the disk, or gone. */
static int sync_or_lose(int fd, int number) {
    struct stat is;
    if (!is_database(fd) || fstat(fd, &is) != 0) return syscall(number, fd);
    int lost = wrong("lost");
    pthread_mutex_lock(&lock);
    size_t kept = 0;
    for (size_t i = 0; i < ranges; i++) {
        struct range one = unsynced[i];
        if (one.device != is.st_dev || one.file != is.st_ino) unsynced[kept++] = one;
        else if (lost) zero(fd, one.offset, one.length);
    }
    ranges = kept;
    pthread_mutex_unlock(&lock);
    return lost ? met(EIO) : syscall(number, fd);
}

int fsync(int fd) { return sync_or_lose(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_or_lose(fd, SYS_fdatasync); }

ssize_t write(int fd, const void *bytes, size_t length) {
    if (no_write(fd)) return -1;
    off_t offset = is_database(fd) ? lseek(fd, 0, SEEK_CUR) : 0;
    ssize_t done = REAL(write)(fd, bytes, length);
    written(fd, offset, done);
    return done;
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
    if (no_write(fd)) return -1;
    ssize_t done = REAL(pwrite64)(fd, bytes, length, offset);
    written(fd, offset, done);
    return done;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
    return pwrite64(fd, bytes, length, offset);
}

ssize_t read(int fd, void *bytes, size_t length) {
    if (wrong("broken") && is_database(fd)) return met(EIO);
    return REAL(read)(fd, bytes, length);
}

ssize_t pread64(int fd, void *bytes, size_t length, off64_t offset) {
    if (wrong("broken") && is_database(fd)) return met(EIO);
    return REAL(pread64)(fd, bytes, length, offset);
}

ssize_t pread(int fd, void *bytes, size_t length, off_t offset) { return pread64(fd, bytes, length, offset); }

/* Making a file smaller is always possible on a full disk. */
static int no_resize(int fd, off_t length) {
    struct stat is;
    if (wrong("full") && fstat(fd, &is) == 0 && length <= is.st_size) return 0;
    return no_write(fd);
}

int ftruncate64(int fd, off64_t length) {
    return no_resize(fd, length) ? -1 : REAL(ftruncate64)(fd, length);
}

int ftruncate(int fd, off_t length) { return no_resize(fd, length) ? -1 : REAL(ftruncate)(fd, length); }

int posix_fallocate(int fd, off_t offset, off_t length) {
    return no_write(fd) ? errno : REAL(posix_fallocate)(fd, offset, length);
}

int fallocate(int fd, int mode, off_t offset, off_t length) {
    return no_write(fd) ? -1 : REAL(fallocate)(fd, mode, offset, length);
}

static int opened(int folder, const char *path, int flags, mode_t mode) {
    int writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT);
    if (writes && is_database_path(path) && wrong("readonly")) return met(EROFS);
    return syscall(SYS_openat, folder, path, flags, mode);
}

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list more; \
        va_start(more, flags); \
        mode = va_arg(more, mode_t); \
        va_end(more); \
    }

int open(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags | O_LARGEFILE, mode); }
