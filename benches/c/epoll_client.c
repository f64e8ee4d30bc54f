/*
 * What a plain C client on epoll needs for each job of benches/table.py: the textbook loop, without latencies, deadlines,
 * statistics or anything else that a load generator has to do beside it.
 *
 * usage: epoll_client JOB ADDRESS FIRST_PORT LAST_PORT TOTAL AT_ONCE [SIZE]
 *
 *   fin, rst     connect, close (by FIN, by RST)
 *   byte         connect, one byte each way, close
 *   http         connect, request, reply, close by the server
 *   http-keep    TOTAL requests on AT_ONCE connections that are kept
 *   ws           connect, upgrade, close frames, close
 *   echo         TOTAL echoes of SIZE bytes on AT_ONCE WebSockets
 *
 * Destinations go round the ports. Prints one line of JSON: what ended well. Ends with 1 if anything failed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 256, MOST = 1 << 20, BUFFER = 1 << 17 };
enum job { FIN, RST, BYTE, HTTP, HTTP_KEEP, WS, ECHO_WS };
enum state { CONNECTING, ASKED, OPEN, CLOSING };

static const char *const NAMES[] = {"fin", "rst", "byte", "http", "http-keep", "ws", "echo"};
static const unsigned char CLOSE_FRAME[] = {0x88, 0x82, 1, 2, 3, 4, 0x03 ^ 1, 0xe8 ^ 2};

static struct sockaddr_in to;
static int first_port, last_port, port, epoll;
static enum job job;
static long total, started, ended;
static char request[512], frame[BUFFER], bytes[BUFFER];
static size_t request_size, frame_size, reply_size;
static unsigned char states[MOST];
static size_t received[MOST];

static void die(const char *what) {
    fprintf(stderr, "epoll_client: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void send_all(int fd, const void *data, size_t size) {
    /* What does not fit at once is an error: no job has more on its way than a socket buffer. */
    ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
    if (sent != (ssize_t)size) {
        die("send");
    }
}

static void open_one(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || fd >= MOST) {
        die("socket");
    }
    if (job == RST) {
        struct linger none = {.l_onoff = 1, .l_linger = 0};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    }
    if (job == ECHO_WS || job == HTTP_KEEP) {
        int yes = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    }
    to.sin_port = htons((uint16_t)port);
    port = port == last_port ? first_port : port + 1;
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS) {
        die("connect");
    }
    struct epoll_event wanted = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &wanted) != 0) {
        die("epoll_ctl");
    }
    states[fd] = CONNECTING;
    received[fd] = 0;
    if (job != HTTP_KEEP && job != ECHO_WS) {
        started++;
    }
}

static void close_one(int fd) {
    close(fd);
    ended++;
    if (started < total) {
        open_one();
    }
}

/* Sends the next request or message of a connection that is kept. */
static void next_on(int fd, const void *data, size_t size) {
    if (started < total) {
        started++;
        send_all(fd, data, size);
    }
}

static void connected(int fd) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) {
        errno = error;
        die("connect");
    }
    states[fd] = ASKED;
    switch (job) {
    case FIN:
    case RST:
        close_one(fd);
        break;
    case BYTE:
        send_all(fd, "x", 1);
        break;
    case HTTP_KEEP:
        next_on(fd, request, request_size);
        break;
    default:
        send_all(fd, request, request_size);
    }
}

/* Reads what is there; gives the number of bytes, and says by `end` whether the peer has closed. */
static size_t read_all(int fd, int *end) {
    size_t got = 0;
    *end = 0;
    for (;;) {
        ssize_t n = recv(fd, bytes, sizeof bytes - 1, MSG_DONTWAIT);
        if (n > 0) {
            got += (size_t)n;
            bytes[n] = 0;
            if ((size_t)n < sizeof bytes - 1) {
                return got;
            }
        } else if (n == 0) {
            *end = 1;
            return got;
        } else if (errno == EAGAIN) {
            return got;
        } else if (errno != EINTR) {
            die("recv");
        }
    }
}

static void readable(int fd) {
    int end;
    size_t got = read_all(fd, &end);
    received[fd] += got;
    switch (job) {
    case BYTE:
        if (got > 0) {
            close_one(fd);
        }
        break;
    case HTTP:
        /* The end may come with the reply, or by an event of its own. */
        if (end || (got > 0 && recv(fd, bytes, 1, MSG_DONTWAIT) == 0)) {
            close_one(fd);
        }
        break;
    case HTTP_KEEP:
        if (got > 0) {
            ended++;
            next_on(fd, request, request_size);
        }
        break;
    case WS:
        if (states[fd] == ASKED && got > 0) {
            states[fd] = CLOSING;
            send_all(fd, CLOSE_FRAME, sizeof CLOSE_FRAME);
        } else if (states[fd] == CLOSING && (got > 0 || end)) {
            close_one(fd);
        }
        break;
    case ECHO_WS:
        if (states[fd] == ASKED && got > 0) {
            states[fd] = OPEN;
            received[fd] = 0;
            next_on(fd, frame, frame_size);
        } else if (states[fd] == OPEN && received[fd] >= reply_size) {
            received[fd] = 0;
            ended++;
            next_on(fd, frame, frame_size);
        }
        break;
    default:
        break;
    }
    if (end && (job == HTTP_KEEP || job == ECHO_WS)) {
        errno = ECONNRESET;
        die("the server closed");
    }
}

/* A masked text frame of so many bytes, and the size of its echo. */
static void make_frame(size_t size) {
    size_t head = 2;
    frame[0] = (char)0x81;
    if (size < 126) {
        frame[1] = (char)(0x80 | size);
    } else {
        frame[1] = (char)(0x80 | 126);
        frame[2] = (char)(size >> 8);
        frame[3] = (char)size;
        head = 4;
    }
    const char mask[4] = {1, 2, 3, 4};
    memcpy(frame + head, mask, 4);
    for (size_t i = 0; i < size; i++) {
        frame[head + 4 + i] = (char)('a' ^ mask[i % 4]);
    }
    frame_size = head + 4 + size;
    reply_size = head + size;
}

static void prepare(const char *address, size_t size) {
    const char *more = "";
    if (job == HTTP) {
        more = "Connection: close\r\n";
    } else if (job == WS || job == ECHO_WS) {
        more = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
               "Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n";
    }
    int written =
        snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: %s:%d\r\n%s\r\n", address, first_port, more);
    request_size = (size_t)written;
    make_frame(size);
}

static int job_of(const char *name) {
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        if (strcmp(name, NAMES[i]) == 0) {
            job = (enum job)i;
            return 1;
        }
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 7 || !job_of(argv[1])) {
        fprintf(stderr, "usage: epoll_client JOB ADDRESS FIRST_PORT LAST_PORT TOTAL AT_ONCE [SIZE]\n");
        return 2;
    }
    to.sin_family = AF_INET;
    first_port = port = atoi(argv[3]);
    last_port = atoi(argv[4]);
    total = atol(argv[5]);
    long at_once = atol(argv[6]);
    long size = argc > 7 ? atol(argv[7]) : 20;
    if (inet_pton(AF_INET, argv[2], &to.sin_addr) != 1 || first_port < 1 || last_port < first_port || total < 1 ||
        at_once < 1 || size < 1 || size > 65535) {
        fprintf(stderr, "epoll_client: no such address, ports, number or size\n");
        return 2;
    }
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    prepare(argv[2], (size_t)size);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) {
        die("epoll_create1");
    }
    for (long i = 0; i < at_once && i < total; i++) {
        open_one();
    }
    while (ended < total) {
        struct epoll_event events[EVENTS];
        int n = epoll_wait(epoll, events, EVENTS, 10000);
        if (n == 0) {
            errno = ETIMEDOUT;
        }
        if (n <= 0 && errno != EINTR) {
            die("epoll_wait");
        }
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (states[fd] == CONNECTING) {
                connected(fd);
            } else if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
                readable(fd);
            }
        }
    }
    printf("{\"ended\": %ld}\n", ended);
    return 0;
}
