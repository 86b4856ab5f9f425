/* The mapping between the kernel's errno and ours, in one place. */
#include "core/err.h"
#include <errno.h>

enum err err_from_errno(int os_errno)
{
    assert(os_errno >= 0);
    switch (os_errno) {
    case 0: return ERR_NONE;
    case ENOENT:
    case ENOTDIR: return ERR_NOT_FOUND;
    case EEXIST:
    case ENOTEMPTY: return ERR_EXISTS;
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return ERR_NO_SPACE;
    case ENOMEM:
    case ENOBUFS: return ERR_NO_MEMORY;
    case ENOSYS:
    case EOPNOTSUPP:
    case EAFNOSUPPORT:
    case EADDRNOTAVAIL:
    case EPERM: return ERR_UNSUPPORTED;
    case EWOULDBLOCK:
    case EBUSY:
    case EADDRINUSE: return ERR_BUSY;
    case EACCES: return ERR_PERMISSION;
    case EROFS: return ERR_READ_ONLY;
    case EMFILE:
    case ENFILE: return ERR_TOO_MANY_FILES;
    case EINVAL: return ERR_INVALID;
    case EPIPE:
    case ECONNRESET:
    case ESHUTDOWN: return ERR_CLOSED;
    default: return ERR_IO;
    }
}

const char *err_text(enum err err)
{
    switch (err) {
    case ERR_NONE: return "no error";
    case ERR_NOT_FOUND: return "not found";
    case ERR_EXISTS: return "already there";
    case ERR_NO_SPACE: return "no space left on the disk, or its quota is used up";
    case ERR_IO: return "the disk answered with an input/output error";
    case ERR_CORRUPT: return "the bytes are corrupt";
    case ERR_NO_MEMORY: return "out of memory";
    case ERR_UNSUPPORTED: return "the kernel does not offer it";
    case ERR_BUSY: return "in use by somebody else";
    case ERR_PERMISSION: return "permission denied";
    case ERR_READ_ONLY: return "the file system is mounted read-only";
    case ERR_TOO_MANY_FILES: return "too many open files, of this process or of the machine";
    case ERR_INVALID: return "an invalid value";
    case ERR_CLOSED: return "closed";
    }
    return "unknown error";
}
