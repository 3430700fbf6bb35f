/* SPDX-License-Identifier: MIT */
/* test_socket_file.c - unix sockets: the path that is asked for, what stands there
 * already, and whose file it is in the end. The program is linked so that the core's
 * call of listen comes here first (see CMakeLists.txt). */
#include "socket_file.h"

#include "client.h"
#include "net.h"

#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

int __real_listen(int fd, int backlog);
int __wrap_listen(int fd, int backlog);

static void (*before_listen)(void); /* what another process does meanwhile */
static int failing_listen;          /* the errno it fails with */

int __wrap_listen(int fd, int backlog)
{
    if (before_listen != NULL) before_listen();
    errno = failing_listen;
    return failing_listen != 0 ? -1 : __real_listen(fd, backlog);
}

/* ---- a folder for each test ---- */

static char folder[32];
static char path[64]; /* in the folder */

static void begin(void)
{
    strcpy(folder, "/tmp/smw-test-XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/socket", folder);
}

/* Only an empty folder can be removed: every test cleans up what it made itself. */
static void end(void)
{
    CHECK_INT(rmdir(folder), 0);
}

static bool is_there(void)
{
    struct stat found;
    return lstat(path, &found) == 0;
}

static unsigned mode_of(const char *name)
{
    struct stat found;
    CHECK(lstat(name, &found) == 0);
    return found.st_mode & 07777;
}

static struct sockaddr_un address_of(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    CHECK(strlen(name) < sizeof address.sun_path);
    strcpy(address.sun_path, name);
    return address;
}

/* A socket as another program binds it. */
static int bind_there(int type)
{
    struct sockaddr_un address = address_of(path);
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    CHECK(bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
    return fd;
}

static int listen_there(int backlog)
{
    int fd = bind_there(SOCK_STREAM);
    CHECK(__real_listen(fd, backlog) == 0);
    return fd;
}

/* A descriptor, or -errno. */
static int connect_there(void)
{
    struct sockaddr_un address = address_of(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    set_nonblocking(fd);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
    int error = -errno;
    close(fd);
    return error;
}

static int listen_at(socket_file *file, const char *name, unsigned mode)
{
    smw_listen_options options = {.path = name, .mode = mode};
    return socket_file_listen(file, &options);
}

/* Whether it listens where clients get to; the file is gone afterwards. */
static void check_listens(int fd, socket_file *file)
{
    if (!CHECK(fd >= 0)) return;
    int reached = connect_there();
    CHECK(reached >= 0);
    int accepted = net_accept(fd);
    CHECK(accepted >= 0);
    close(accepted);
    close(reached);
    socket_file_remove(file);
    close(fd);
    CHECK(!is_there());
}

static void check_refused(const char *name, int error)
{
    socket_file file;
    CHECK_INT(listen_at(&file, name, 0600), error);
    CHECK_INT(file.path[0], 0);
    socket_file_remove(&file); /* has nothing to remove */
}

/* ---- what is asked for ---- */

static void test_a_new_path_is_listened_at_until_it_is_removed(void)
{
    begin();
    socket_file file;
    int fd = listen_at(&file, path, 0);
    CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    CHECK_INT(net_port(fd), 0);
    CHECK_INT(net_accept(fd), -EAGAIN);
    check_listens(fd, &file);
    end();
}

static void test_a_path_as_long_as_a_socket_can_have_is_taken(void)
{
    begin();
    char longest[sizeof((struct sockaddr_un *)0)->sun_path + 1];
    memset(longest, 'x', sizeof longest);
    memcpy(longest, folder, strlen(folder));
    longest[strlen(folder)] = '/';
    longest[sizeof longest - 1] = '\0';
    check_refused(longest, -ENAMETOOLONG);
    longest[sizeof longest - 2] = '\0';
    socket_file file;
    int fd = listen_at(&file, longest, 0600);
    CHECK(fd >= 0);
    CHECK_INT(mode_of(longest), 0600);
    socket_file_remove(&file);
    close(fd);
    end();
}

static void test_what_is_no_path_is_refused(void)
{
    begin();
    check_refused("", -EINVAL);
    snprintf(path, sizeof path, "%s/missing/socket", folder);
    check_refused(path, -ENOENT);
    end();
}

static void test_a_path_cannot_be_shared(void)
{
    begin();
    smw_listen_options options = {.path = path, .reuse_port = true};
    socket_file file;
    CHECK_INT(socket_file_listen(&file, &options), -EINVAL);
    CHECK(!is_there());
    end();
}

static void test_the_backlog_is_the_one_asked_for(void)
{
    begin();
    smw_listen_options options = {.path = path, .backlog = 1};
    socket_file file;
    int fd = socket_file_listen(&file, &options), waiting[3];
    /* The kernel lets one more wait than it was told. */
    for (int i = 0; i < 3; i++) waiting[i] = connect_there();
    CHECK(waiting[0] >= 0 && waiting[1] >= 0);
    CHECK_INT(waiting[2], -EAGAIN);
    close(waiting[0]);
    close(waiting[1]);
    socket_file_remove(&file);
    close(fd);
    end();
}

/* ---- the mode ---- */

static void check_mode(unsigned mask, unsigned mode, unsigned wanted)
{
    mode_t before = umask(mask);
    socket_file file;
    int fd = listen_at(&file, path, mode);
    umask(before);
    CHECK_INT(mode_of(path), wanted);
    socket_file_remove(&file);
    close(fd);
}

static void test_the_mode_is_the_one_asked_for_or_what_the_umask_leaves(void)
{
    begin();
    check_mode(022, 0, 0755);
    check_mode(077, 0, 0700);
    check_mode(077, 0666, 0666);
    check_mode(0, 0600, 0600);
    check_mode(0777, 0660, 0660);
    end();
}

static unsigned mode_before_listen;

static void note_mode(void)
{
    mode_before_listen = mode_of(path);
    CHECK_INT(connect_there(), -ECONNREFUSED);
}

static void test_the_mode_holds_before_anybody_can_connect(void)
{
    begin();
    before_listen = note_mode;
    mode_t before = umask(0);
    socket_file file;
    int fd = listen_at(&file, path, 0640);
    umask(before);
    before_listen = NULL;
    CHECK_INT(mode_before_listen, 0640);
    check_listens(fd, &file);
    end();
}

/* ---- what stands there already ---- */

static void test_a_stale_socket_is_replaced(void)
{
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        begin();
        close(bind_there(types[i]));
        CHECK(is_there());
        socket_file file;
        check_listens(listen_at(&file, path, 0600), &file);
        end();
    }
}

static void test_a_path_that_somebody_listens_at_is_in_use(void)
{
    begin();
    int other = listen_there(0);
    check_refused(path, -EADDRINUSE);
    /* The probe of the first try fills the backlog: it is in use all the same. */
    check_refused(path, -EADDRINUSE);
    int accepted = accept(other, NULL, NULL);
    CHECK(accepted >= 0); /* the file is still its own */
    close(accepted);
    close(other);
    CHECK_INT(unlink(path), 0);
    end();
}

static void test_a_socket_of_another_type_is_in_use(void)
{
    begin();
    int other = bind_there(SOCK_DGRAM);
    check_refused(path, -EADDRINUSE);
    close(other);
    CHECK_INT(unlink(path), 0);
    end();
}

static void test_a_file_that_is_no_socket_is_left_alone(void)
{
    begin();
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    CHECK_INT(write(fd, "precious", 8), 8);
    close(fd);
    check_refused(path, -EEXIST);
    struct stat found;
    CHECK(lstat(path, &found) == 0 && found.st_size == 8);
    CHECK_INT(found.st_mode & 07777, 0644);
    CHECK_INT(unlink(path), 0);
    end();
}

static void test_a_folder_or_a_link_is_left_alone(void)
{
    begin();
    check_refused(folder, -EEXIST);
    close(bind_there(SOCK_STREAM));
    char link[80];
    snprintf(link, sizeof link, "%s-link", path);
    CHECK_INT(symlink(path, link), 0);
    check_refused(link, -EEXIST); /* though a stale socket is behind it */
    CHECK_INT(unlink(path), 0);
    check_refused(link, -EEXIST); /* and though nothing is */
    CHECK_INT(unlink(link), 0);
    end();
}

/* ---- what others do meanwhile ---- */

static int intruder;

static void replace(void)
{
    CHECK_INT(unlink(path), 0);
    intruder = listen_there(1);
}

static void remove_file(void)
{
    CHECK_INT(unlink(path), 0);
}

static void test_a_path_that_is_taken_before_listen_is_in_use(void)
{
    begin();
    before_listen = replace;
    check_refused(path, -EADDRINUSE);
    CHECK(is_there()); /* the other's */
    close(intruder);
    CHECK_INT(unlink(path), 0);
    before_listen = remove_file;
    check_refused(path, -EADDRINUSE);
    before_listen = NULL;
    end();
}

static void test_a_failing_listen_leaves_no_file(void)
{
    begin();
    failing_listen = ENOBUFS;
    check_refused(path, -ENOBUFS);
    failing_listen = 0;
    CHECK(!is_there());
    end();
}

static void test_a_file_of_a_successor_is_not_removed(void)
{
    begin();
    socket_file file;
    int fd = listen_at(&file, path, 0);
    replace();
    socket_file_remove(&file);
    close(fd);
    CHECK(is_there());
    close(intruder);
    CHECK_INT(unlink(path), 0);
    end();
}

/* ---- listeners ---- */

static smw_loop *loop;
static smw_listen_options at_path;

static void begin_loop(void)
{
    begin();
    loop = smw_loop_new();
    at_path = (smw_listen_options){.path = path};
}

static void end_loop(void)
{
    smw_loop_free(loop);
    CHECK(!is_there());
    end();
}

static void echo(smw_loop *from, uint64_t conn, const char *data, size_t length,
                 uint64_t user)
{
    (void)user;
    smw_conn_write(from, conn, data, length);
    smw_conn_close(from, conn);
}

static void test_a_stream_over_a_unix_socket_echoes(void)
{
    begin_loop();
    CHECK_INT(smw_stream_listen(loop, &at_path, NULL, echo, NULL, 0), 0);
    client c = client_of(connect_there());
    client_say(&c, "hello");
    EXPECT(loop, &c, "hello");
    EXPECT_END(loop, &c);
    client_close(&c);
    end_loop();
}

static void check_answers(client *c)
{
    client_say(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    run_until(loop, c, 1);
    CHECK(client_starts_with(c, "HTTP/1.1 503 "));
    client_close(c);
}

static void test_a_server_listens_at_ports_and_paths_until_it_is_stopped(void)
{
    begin_loop();
    smw_server *server = smw_server_new(loop, NULL);
    smw_listen_options tcp = {.host = "127.0.0.1"};
    int port = smw_server_listen(server, &tcp);
    CHECK(port > 0);
    CHECK_INT(smw_server_listen(server, &at_path), 0);
    CHECK_INT(smw_server_listen(server, &at_path), -EADDRINUSE);
    client over_unix = client_of(connect_there());
    check_answers(&over_unix);
    client over_tcp = client_open(port);
    check_answers(&over_tcp);
    CHECK(is_there());
    smw_server_stop(server);
    CHECK(!is_there());
    end_loop();
}

static void test_an_abandoned_loop_leaves_the_file_to_the_parent(void)
{
    begin_loop();
    CHECK_INT(smw_stream_listen(loop, &at_path, NULL, echo, NULL, 0), 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        smw_loop_abandon(loop);
        _exit(0);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK_INT(status, 0);
    client c = client_of(connect_there());
    client_say(&c, "hello");
    EXPECT(loop, &c, "hello");
    client_close(&c);
    end_loop();
}

int main(void)
{
    RUN(test_a_new_path_is_listened_at_until_it_is_removed);
    RUN(test_a_path_as_long_as_a_socket_can_have_is_taken);
    RUN(test_what_is_no_path_is_refused);
    RUN(test_a_path_cannot_be_shared);
    RUN(test_the_backlog_is_the_one_asked_for);
    RUN(test_the_mode_is_the_one_asked_for_or_what_the_umask_leaves);
    RUN(test_the_mode_holds_before_anybody_can_connect);
    RUN(test_a_stale_socket_is_replaced);
    RUN(test_a_path_that_somebody_listens_at_is_in_use);
    RUN(test_a_socket_of_another_type_is_in_use);
    RUN(test_a_file_that_is_no_socket_is_left_alone);
    RUN(test_a_folder_or_a_link_is_left_alone);
    RUN(test_a_path_that_is_taken_before_listen_is_in_use);
    RUN(test_a_failing_listen_leaves_no_file);
    RUN(test_a_file_of_a_successor_is_not_removed);
    RUN(test_a_stream_over_a_unix_socket_echoes);
    RUN(test_a_server_listens_at_ports_and_paths_until_it_is_stopped);
    RUN(test_an_abandoned_loop_leaves_the_file_to_the_parent);
    return test_report();
}
