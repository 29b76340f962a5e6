/* A folder's names with sizes and times, as `storage.local.LocalStorage.list_stats` has them. */
#ifndef CKPT_INSPECT_LISTING_H
#define CKPT_INSPECT_LISTING_H

#include <stddef.h>
#include <stdint.h>

#include "processor.h"

typedef struct {
    char *names; /* one after another, each with a 0 behind it: those of files, */
    size_t used;
    char *folders; /* and those of folders */
    size_t folders_used;
    int64_t *sizes, *times; /* of files; -1 and 0 for a link that leads nowhere, nanoseconds since 1970 */
    size_t count;
    size_t room, names_room, folders_room;
} Listing;

/* Look at everything in a folder; links to files are followed, those to folders count as files. An errno, or 0; to be
   given to `free_listing` either way. */
BETWEEN_FILES int list_folder(const char *path, Listing *found);

BETWEEN_FILES void free_listing(Listing *found);

#endif
