/* errno.h for the page. */
#ifndef LAB_ERRNO_H
#define LAB_ERRNO_H
extern int errno;
#define ENOENT 2
#define EINTR 4
#define EIO 5
#define EBADF 9
#define EAGAIN 11
#define ENOMEM 12
#define EACCES 13
#define EBUSY 16
#define EEXIST 17
#define ENOTDIR 20
#define EISDIR 21
#define EINVAL 22
#define EFBIG 27
#define ENOSPC 28
#define EPIPE 32
#define EDOM 33
#define ERANGE 34
#define ENOSYS 38
#define ENOTEMPTY 39
#define ELOOP 40
#define EOVERFLOW 75
#define ENOTSUP 95
#define ENAMETOOLONG 36
#define EPERM 1
#define EXDEV 18
#define EROFS 30
#define EWOULDBLOCK EAGAIN
#endif
