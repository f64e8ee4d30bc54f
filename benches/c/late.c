/*
 * An open loop in C: how late can a start be that waits for its time with timerfd and epoll?
 *
 * usage: late ADDRESS FIRST_PORT LAST_PORT RATE SECONDS
 *
 * socket, connect, close at each due time. Prints one line of JSON: lateness of the starts in microseconds.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int compare(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void wait_until(uint64_t due, int timer, int epoll) {
    struct itimerspec at = {.it_value = {.tv_sec = (time_t)(due / 1000000000u), .tv_nsec = (long)(due % 1000000000u)}};
    struct epoll_event event;
    uint64_t times;
    while (now() < due) {
        timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL);
        if (epoll_wait(epoll, &event, 1, -1) == 1 && read(timer, &times, sizeof times) < 0 && errno != EAGAIN) {
            perror("late: read");
            exit(1);
        }
    }
}

int main(int argc, char **argv) {
    struct sockaddr_in to = {.sin_family = AF_INET};
    if (argc != 6 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) {
        fprintf(stderr, "usage: late ADDRESS FIRST_PORT LAST_PORT RATE SECONDS\n");
        return 2;
    }
    int first = atoi(argv[2]), last = atoi(argv[3]), port = first;
    double rate = atof(argv[4]);
    long count = (long)(rate * atof(argv[5]));
    if (count < 1) {
        return 2;
    }
    uint32_t *late = malloc(sizeof *late * (size_t)count);
    prctl(PR_SET_TIMERSLACK, 1);
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event wanted = {.events = EPOLLIN};
    if (late == NULL || timer < 0 || epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &wanted) != 0) {
        perror("late");
        return 1;
    }
    uint64_t began = now() + 10000000;
    for (long i = 0; i < count; i++) {
        uint64_t due = began + (uint64_t)((double)i * 1e9 / rate);
        wait_until(due, timer, epoll);
        late[i] = (uint32_t)((now() - due) / 1000);
        to.sin_port = htons((uint16_t)port);
        port = port == last ? first : port + 1;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
            perror("late: connect");
            return 1;
        }
        close(fd);
    }
    qsort(late, (size_t)count, sizeof *late, compare);
    printf("{\"p50\": %u, \"p99\": %u, \"max\": %u}\n", late[count / 2], late[count * 99 / 100], late[count - 1]);
    return 0;
}
