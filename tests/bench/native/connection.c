#include "connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static int connect_to(int port) {
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int yes = 1, opened = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(opened, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (connect(opened, (const struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS) {
        perror("connect");
        exit(2);
    }
    return opened;
}

struct connection *connection_open(struct pool *pool, struct plan *plan) {
    struct connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL) exit(2);
    connection->plan = plan;
    connection->socket = connect_to(pool->port);
    connection->next = pool->open;
    if (pool->open) pool->open->previous = connection;
    pool->open = connection;
    pool->count++;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = connection};
    epoll_ctl(pool->poller, EPOLL_CTL_ADD, connection->socket, &event);
    return connection;
}

void connection_close(struct pool *pool, struct connection *connection) {
    if (connection->socket < 0) return;
    close(connection->socket);
    connection->socket = -1;
    pool->count--;
    if (connection->previous) connection->previous->next = connection->next;
    if (connection->next) connection->next->previous = connection->previous;
    if (pool->open == connection) pool->open = connection->next;
    connection->next = pool->dead;
    pool->dead = connection;
}

void connection_bury(struct pool *pool) {
    while (pool->dead) {
        struct connection *connection = pool->dead;
        pool->dead = connection->next;
        buffer_free(&connection->out);
        buffer_free(&connection->body);
        sse_free(&connection->sse);
        free(connection);
    }
}
