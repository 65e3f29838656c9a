/* folder.h: the names in a folder, sorted; a tree removed. */
#ifndef PRLX_IO_FOLDER_H
#define PRLX_IO_FOLDER_H
#include "core/base.h"
typedef struct FolderList {
  char **name;
  int n;
} FolderList;

/* Names in a folder, sorted by bytes, without hidden ones (first letter '.'). pattern: only names
 * that fit it ('*': any letters, once at most; NULL: all). ST_IO: cannot be read. folder_free, also
 * after an error. */
Status folder_read(const char *dir, const char *pattern, FolderList *l, Error *e);
void folder_free(FolderList *l);

/* A file, or a folder with all that is in it; links are removed, not followed. What is not there is
 * no error. ST_IO: something could not be removed. */
Status folder_remove(const char *path, Error *e);
#endif
