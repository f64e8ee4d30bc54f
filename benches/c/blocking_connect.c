/*
 * The floor that the engine's cost is measured against: socket, connect, close, in a plain blocking loop.
 * With "rst", SO_LINGER 0 makes close() send RST instead of FIN. Destinations go round a range of ports.
 *
 * usage: blocking_connect ADDRESS FIRST_PORT LAST_PORT CONNECTIONS fin|rst
 *
 * Prints one line of JSON. CPU is that of this process (getrusage), in which loopback runs the peer's half
 * of the handshake as well.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double seconds(struct timeval t) { return (double)t.tv_sec + (double)t.tv_usec / 1e6; }

static double wall(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int attempt(const struct sockaddr_in *to, int reset) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0) {
        return -1;
    }
    if (reset) {
        struct linger none = {.l_onoff = 1, .l_linger = 0};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    }
    int answer = connect(fd, (const struct sockaddr *)to, sizeof *to);
    int cause = errno;
    close(fd);
    errno = cause;
    return answer;
}

int main(int argc, char **argv) {
    if (argc != 6 || (strcmp(argv[5], "fin") != 0 && strcmp(argv[5], "rst") != 0)) {
        fprintf(stderr, "usage: blocking_connect ADDRESS FIRST_PORT LAST_PORT CONNECTIONS fin|rst\n");
        return 2;
    }
    struct sockaddr_in to = {.sin_family = AF_INET};
    int first = atoi(argv[2]), last = atoi(argv[3]), reset = strcmp(argv[5], "rst") == 0;
    long connections = atol(argv[4]), failures = 0;
    int first_errno = 0;
    if (inet_pton(AF_INET, argv[1], &to.sin_addr) != 1 || first < 1 || last < first || last > 65535 ||
        connections < 1) {
        fprintf(stderr, "blocking_connect: no such address, ports or number of connections\n");
        return 2;
    }

    double began = wall();
    int port = first;
    for (long i = 0; i < connections; i++) {
        to.sin_port = htons((uint16_t)port);
        if (attempt(&to, reset) != 0) {
            failures++;
            if (first_errno == 0) {
                first_errno = errno;
            }
        }
        port = port == last ? first : port + 1;
    }
    double took = wall() - began;

    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double user = seconds(used.ru_utime), system = seconds(used.ru_stime);
    printf("{\"connections\": %ld, \"failures\": %ld, \"first_error\": \"%s\", \"wall_s\": %.6f, "
           "\"user_us_per_connection\": %.3f, \"system_us_per_connection\": %.3f, "
           "\"cpu_us_per_connection\": %.3f}\n",
           connections, failures, first_errno ? strerror(first_errno) : "", took,
           user * 1e6 / (double)connections, system * 1e6 / (double)connections,
           (user + system) * 1e6 / (double)connections);
    return failures == 0 ? 0 : 1;
}
