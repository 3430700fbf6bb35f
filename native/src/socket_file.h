/* SPDX-License-Identifier: MIT */
/* socket_file.h - a listening unix socket and the file that clients find it by. */
#ifndef SMW_SOCKET_FILE_H
#define SMW_SOCKET_FILE_H

#include "smw.h"

#include <sys/types.h>
#include <sys/un.h>

typedef struct socket_file {
    char path[sizeof((struct sockaddr_un *)0)->sun_path]; /* empty: there is no file */
    dev_t device;
    ino_t inode;
} socket_file;

/* Listen at `options->path`; a file that no socket listens behind is replaced. The
 * mode holds before anybody can connect. The descriptor, with `*file` set for
 * socket_file_remove, or -errno, with no file left behind and `*file` cleared:
 * -EINVAL for an empty path or with `reuse_port`, -ENAMETOOLONG, -EADDRINUSE when
 * somebody listens there or takes the path meanwhile, -EEXIST for what is no socket,
 * -ENOENT without the folder. */
int socket_file_listen(socket_file *file, const smw_listen_options *options);

/* Remove the file, unless another has taken its place, and forget it. To be called
 * before the descriptor is closed. */
void socket_file_remove(socket_file *file);

#endif
