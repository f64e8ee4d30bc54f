/*
 * The benchmark's target: accepts, reads and forgets, closes when the peer has closed. One thread, epoll.
 * It never closes first, so that TIME_WAIT stays on the client's side.
 *
 * usage: accept_sink ADDRESS FIRST_PORT LAST_PORT
 *
 * Prints "ready" when it listens on all ports. On SIGTERM it prints one line of JSON and ends.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 65535, EVENTS = 256, ACCEPTS_A_TURN = 64 };

static volatile sig_atomic_t stopped;
static long accepted, open_now, open_max;

static void stop(int signal) {
    (void)signal;
    stopped = 1;
}

static void die(const char *what) {
    fprintf(stderr, "accept_sink: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* Whether the peer has closed. Whatever it sent is read and forgotten. */
static int at_end(int fd) {
    char bytes[4096];
    for (;;) {
        ssize_t got = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (got == 0) {
            return 1;
        }
        if (got < 0) {
            if (errno == EINTR) {
                continue;
            }
            return errno != EAGAIN && errno != EWOULDBLOCK;
        }
    }
}

static void drop(int fd) {
    close(fd);
    open_now--;
}

/* Most short connections are closed by the time they are accepted: those never enter the epoll set. */
static void accept_some(int listener, int epoll) {
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) {
                return;
            }
            die("accept");
        }
        accepted++;
        open_now++;
        if (open_now > open_max) {
            open_max = open_now;
        }
        if (at_end(fd)) {
            drop(fd);
            continue;
        }
        struct epoll_event wanted = {.events = EPOLLIN | EPOLLRDHUP, .data.u64 = (uint64_t)fd << 1};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &wanted) != 0) {
            die("epoll_ctl");
        }
    }
}

static void listen_on(const char *address, int port, int epoll) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, address, &at.sin_addr) != 1) {
        fprintf(stderr, "accept_sink: '%s' is not an IPv4 address\n", address);
        exit(2);
    }
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), yes = 1;
    if (fd < 0) {
        die("socket");
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, BACKLOG) != 0) {
        die("listen");
    }
    /* The lowest bit tells listeners from connections. */
    struct epoll_event wanted = {.events = EPOLLIN, .data.u64 = (uint64_t)fd << 1 | 1};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &wanted) != 0) {
        die("epoll_ctl");
    }
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: accept_sink ADDRESS FIRST_PORT LAST_PORT\n");
        return 2;
    }
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) {
        die("epoll_create1");
    }
    for (int port = atoi(argv[2]); port <= atoi(argv[3]); port++) {
        listen_on(argv[1], port, epoll);
    }
    printf("ready\n");
    fflush(stdout);

    /* Stopped, it first takes what is in its queues: what it counts is what was opened. */
    for (int n = 0; n > 0 || !stopped;) {
        struct epoll_event events[EVENTS];
        /* The time limit closes the gap between the look at `stopped` and the wait. */
        n = epoll_wait(epoll, events, EVENTS, stopped ? 0 : 100);
        for (int i = 0; i < n; i++) {
            int fd = (int)(events[i].data.u64 >> 1);
            if (events[i].data.u64 & 1) {
                accept_some(fd, epoll);
            } else if (at_end(fd)) {
                drop(fd);
            }
        }
    }
    printf("{\"accepted\": %ld, \"open_max\": %ld, \"open_at_end\": %ld}\n", accepted, open_max, open_now);
    return 0;
}
