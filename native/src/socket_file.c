/* SPDX-License-Identifier: MIT */
#include "socket_file.h"

#include "net.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct sockaddr_un address;

static int bind_to(int fd, const address *at)
{
    return bind(fd, (const struct sockaddr *)at, sizeof *at) == 0 ? 0 : -errno;
}

/* Only a refusal proves that nobody listens: a full backlog, a socket of another type
 * or one that we may not connect to has somebody behind it. */
static bool is_refused(int fd, const address *at)
{
    return connect(fd, (const struct sockaddr *)at, sizeof *at) != 0 &&
           errno == ECONNREFUSED;
}

/* There is no lock, so of two processes that start at once the later can take the
 * earlier's file for a stale one: between bind and listen a socket refuses like a dead
 * one, and a stale file can be replaced between probe and unlink. The later one has the
 * path then. The earlier one finds its file gone after listen and fails: -EADDRINUSE.
 * It does not if the file goes later still, where it listens without a client, or if
 * the other's stands there already when it remembers its own, where it also removes
 * that file in the end. A socket that listened before the probe keeps its file. */
static int remove_stale(const address *at)
{
    struct stat found;
    if (lstat(at->sun_path, &found) != 0) return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(found.st_mode)) return -EEXIST;
    int fd = net_open_socket(AF_UNIX);
    if (fd < 0) return fd;
    bool is_stale = is_refused(fd, at);
    close(fd);
    if (!is_stale) return -EADDRINUSE;
    return unlink(at->sun_path) == 0 || errno == ENOENT ? 0 : -errno;
}

static int take_path(int fd, const address *at)
{
    int result = bind_to(fd, at);
    if (result != -EADDRINUSE) return result;
    result = remove_stale(at);
    return result != 0 ? result : bind_to(fd, at);
}

static bool is_there(const socket_file *file)
{
    struct stat found;
    return lstat(file->path, &found) == 0 && found.st_dev == file->device &&
           found.st_ino == file->inode;
}

static int remember(socket_file *file, const address *at)
{
    struct stat found;
    if (lstat(at->sun_path, &found) != 0)
        return errno == ENOENT ? -EADDRINUSE : -errno; /* see remove_stale */
    memcpy(file->path, at->sun_path, sizeof file->path);
    file->device = found.st_dev;
    file->inode = found.st_ino;
    return 0;
}

static int start_listening(int fd, socket_file *file, const smw_listen_options *options)
{
    /* A socket that does not listen yet refuses everybody, whatever its mode. */
    if (options->mode != 0 && chmod(file->path, (mode_t)options->mode) != 0)
        return -errno;
    int result = net_start_listening(fd, options->backlog);
    if (result != 0) return result;
    return is_there(file) ? 0 : -EADDRINUSE;
}

static int serve_at(int fd, const address *at, socket_file *file,
                    const smw_listen_options *options)
{
    int result = take_path(fd, at);
    if (result == 0) result = remember(file, at);
    if (result != 0) return result;
    result = start_listening(fd, file, options);
    if (result != 0) socket_file_remove(file);
    return result;
}

int socket_file_listen(socket_file *file, const smw_listen_options *options)
{
    *file = (socket_file){.path = ""};
    address at = {.sun_family = AF_UNIX};
    size_t length = strlen(options->path);
    /* A path has one socket: a second one would fail or take it from the first. */
    if (length == 0 || options->reuse_port) return -EINVAL;
    if (length >= sizeof at.sun_path) return -ENAMETOOLONG;
    memcpy(at.sun_path, options->path, length);
    int fd = net_open_socket(AF_UNIX);
    if (fd < 0) return fd;
    int result = serve_at(fd, &at, file, options);
    if (result == 0) return fd;
    close(fd);
    return result;
}

void socket_file_remove(socket_file *file)
{
    /* The open socket holds on to its inode, so no other file can have its number. */
    if (file->path[0] != '\0' && is_there(file)) unlink(file->path);
    file->path[0] = '\0';
}
