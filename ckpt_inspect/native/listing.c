/* A folder of many files: one call of the system for each, and no object of Python's. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "listing.h"

void free_listing(Listing *found)
{
    free(found->names);
    free(found->folders);
    free(found->sizes);
    free(found->times);
    memset(found, 0, sizeof *found);
}

#if defined(_WIN32)
int list_folder(const char *path, Listing *found)
{
    (void)path;
    memset(found, 0, sizeof *found);
    return ENOSYS; /* whoever asked lists it by Python */
}
#else
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__APPLE__)
#define MODIFIED st_mtimespec
#else
#define MODIFIED st_mtim
#endif

/* Put a name behind the others; 0 if there is no memory. */
static int add_name(char **names, size_t *used, size_t *room, const char *name)
{
    const size_t size = strlen(name) + 1;
    if (*room - *used < size) {
        const size_t wanted = 2 * (*room + size) + 4096;
        char *const more = realloc(*names, wanted);
        if (!more)
            return 0;
        *names = more;
        *room = wanted;
    }
    memcpy(*names + *used, name, size);
    *used += size;
    return 1;
}

static int add_file(Listing *found, const char *name, int64_t size, int64_t time)
{
    if (found->count == found->room) {
        const size_t wanted = 2 * found->room + 256;
        int64_t *const sizes = realloc(found->sizes, wanted * sizeof *sizes);
        if (!sizes)
            return 0;
        found->sizes = sizes;
        int64_t *const times = realloc(found->times, wanted * sizeof *times);
        if (!times)
            return 0;
        found->times = times;
        found->room = wanted;
    }
    found->sizes[found->count] = size;
    found->times[found->count++] = time;
    return add_name(&found->names, &found->used, &found->names_room, name);
}

/* An errno, or 0. */
static int add_entry(Listing *found, int folder, const struct dirent *entry)
{
    struct stat status;
    int is_folder = 0, is_known = 0;
#if defined(DT_DIR)
    is_folder = entry->d_type == DT_DIR;
    is_known = entry->d_type != DT_UNKNOWN;
#endif
    if (!is_known) {
        if (fstatat(folder, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0)
            is_folder = S_ISDIR(status.st_mode);
        else if (errno != ENOENT)
            return errno;
    }
    if (is_folder)
        return add_name(&found->folders, &found->folders_used, &found->folders_room, entry->d_name) ? 0 : ENOMEM;
    int64_t size = -1, time = 0;
    if (fstatat(folder, entry->d_name, &status, 0) == 0) {
        size = (int64_t)status.st_size;
        time = (int64_t)status.MODIFIED.tv_sec * 1000000000 + status.MODIFIED.tv_nsec;
    } else if (errno != ENOENT)
        return errno;
    return add_file(found, entry->d_name, size, time) ? 0 : ENOMEM;
}

int list_folder(const char *path, Listing *found)
{
    memset(found, 0, sizeof *found);
    const int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0)
        return errno;
    DIR *const folder = fdopendir(descriptor);
    if (!folder) {
        const int failure = errno;
        close(descriptor);
        return failure;
    }
    int failure = 0;
    while (!failure) {
        errno = 0;
        const struct dirent *const entry = readdir(folder);
        if (!entry) {
            failure = errno;
            break;
        }
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            failure = add_entry(found, descriptor, entry);
    }
    closedir(folder);
    return failure;
}
#endif
