/* The token source: speaks OpenRouter's chat completions stream over HTTP/1.1 at a fixed number of tokens a second.
 *
 *   source --tokens 1500 --rate 50      prints {"port": …} and serves until its standard input ends
 *
 * POST …/chat/completions   a plan, an event and a chunk for each token, at begin + number / rate; late ones at once
 * GET  /stats               what was sent so far, and how late
 * GET  /pace?tokens=&rate=&hold=   of the streams that begin from now on; `hold`: so many tokens, then only comments
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "buffer.h"
#include "clock.h"
#include "completion.h"
#include "due.h"
#include "histogram.h"
#include "http.h"
#include "plan_text.h"

#define WEEKS 4

struct pace {
    struct plan_text plan;
    double token_us;
    int hold; /* tokens before the stream falls silent; 0: never */
    int64_t comment_us;
};

struct stream {
    struct due_item due; /* first: the queue of due streams gives it back */
    int socket;
    struct http request;
    struct buffer out;
    const struct pace *pace; /* NULL: no answer is under way */
    int64_t begin, next_comment;
    int token;
    struct completion completion;
};

static struct {
    uint64_t started, finished, aborted, tokens, marked;
    struct histogram late;
} stats;

static const struct pace *pace; /* paces are never freed: streams keep theirs */
static struct due_queue queue;
static int poller;

static void say_token(struct stream *stream) {
    char token[TOKEN_CHARS];
    plan_text_token(&stream->pace->plan, stream->token, stream->begin, token);
    completion_token(&stream->completion, &stream->out, token);
    stream->token++;
    stats.tokens++;
    stats.marked += token[0] == '~';
}

static void say_end(struct stream *stream) {
    completion_end(&stream->completion, &stream->out, stream->pace->plan.tokens);
    stream->pace = NULL;
    stats.finished++;
}

static int64_t due_of(const struct stream *stream) {
    return stream->begin + (int64_t)(stream->token * stream->pace->token_us);
}

static int holds(const struct stream *stream) {
    return stream->pace->hold > 0 && stream->token >= stream->pace->hold;
}

static void close_stream(struct stream *stream) {
    if (stream->pace) stats.aborted++;
    due_remove(&queue, &stream->due);
    close(stream->socket);
    buffer_free(&stream->out);
    free(stream);
}

/* Everything that is due; then waits for the next. Returns 0 when the connection is broken. */
static int advance(struct stream *stream, int64_t now) {
    while (stream->pace && stream->token < stream->pace->plan.tokens && !holds(stream) && due_of(stream) <= now) {
        histogram_add(&stats.late, now - due_of(stream));
        if (now >= stream->next_comment) {
            completion_comment(&stream->out);
            stream->next_comment = now + stream->pace->comment_us;
        }
        say_token(stream);
    }
    if (stream->pace && stream->token == stream->pace->plan.tokens) say_end(stream);
    if (stream->pace && holds(stream) && now >= stream->next_comment) {
        completion_comment(&stream->out);
        stream->next_comment = now + stream->pace->comment_us;
    }
    if (!buffer_send(&stream->out, stream->socket)) return 0;
    if (stream->pace) due_set(&queue, &stream->due, holds(stream) ? stream->next_comment : due_of(stream));
    return 1;
}

static void begin(struct stream *stream) {
    stats.started++;
    stream->pace = pace;
    stream->token = 0;
    stream->begin = now_us();
    stream->next_comment = stream->begin + pace->comment_us;
    completion_begin(&stream->completion, &stream->out, stats.started);
}

static void answer(struct stream *stream, int status, const char *json) {
    static const char head[] = "HTTP/1.1 %d -\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n";
    buffer_print(&stream->out, head, status, strlen(json));
    buffer_add(&stream->out, json, strlen(json));
}

static void answer_stats(struct stream *stream) {
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    fprintf(out,
            "{\"cpuSeconds\":%.3f,\"started\":%" PRIu64 ",\"finished\":%" PRIu64 ",\"aborted\":%" PRIu64
            ",\"tokens\":%" PRIu64 ",\"marked\":%" PRIu64,
            (double)clock() / CLOCKS_PER_SEC, stats.started, stats.finished, stats.aborted, stats.tokens, stats.marked);
    fprintf(out, ",\"planTokens\":%d,\"planMarked\":%d,\"late\":", pace->plan.tokens, pace->plan.marked);
    histogram_print(&stats.late, out);
    fputs("}", out);
    fclose(out);
    answer(stream, 200, text);
    free(text);
}

static double query(const char *line, const char *name, double otherwise) {
    const char *found = strstr(line, name);
    return found ? atof(found + strlen(name)) : otherwise;
}

static int set_pace(int tokens, double rate, int hold, double comment_seconds) {
    struct pace *next = calloc(1, sizeof *next);
    if (next == NULL || rate <= 0 || !plan_text_make(&next->plan, tokens, WEEKS)) {
        free(next);
        return 0;
    }
    next->token_us = 1e6 / rate;
    next->hold = hold;
    next->comment_us = (int64_t)(comment_seconds * 1e6);
    pace = next;
    return 1;
}

static void respond(struct stream *stream) {
    const char *line = stream->request.first;
    if (strncmp(line, "POST ", 5) == 0 && strstr(line, "/chat/completions ")) {
        begin(stream);
    } else if (strncmp(line, "GET /stats", 10) == 0) {
        answer_stats(stream);
    } else if (strncmp(line, "GET /pace?", 10) == 0) {
        const int known = set_pace((int)query(line, "tokens=", pace->plan.tokens), query(line, "rate=", 50),
                                   (int)query(line, "hold=", 0), query(line, "comment=", 0.5));
        answer(stream, known ? 200 : 400, "{}");
    } else {
        answer(stream, 404, "{\"error\":{\"code\":404,\"message\":\"Not Found\"}}");
    }
}

static void skip_body(void *owner, const char *data, size_t length) { (void)owner, (void)data, (void)length; }

/* Returns 0 when the connection is over. */
static int receive(struct stream *stream) {
    char data[16384];
    const ssize_t length = recv(stream->socket, data, sizeof data, 0);
    if (length <= 0) return length < 0 && errno == EAGAIN;
    if (stream->pace) return 1; /* nothing is asked while an answer is under way */
    if (http_feed(&stream->request, data, (size_t)length, skip_body, NULL) < 0) return 0;
    if (stream->request.stage != HTTP_DONE) return 1;
    respond(stream);
    http_reset(&stream->request);
    return 1;
}

static void accept_all(int listener) {
    int socket;
    while ((socket = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        const int yes = 1;
        setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        struct stream *stream = calloc(1, sizeof *stream);
        if (stream == NULL) exit(2);
        stream->socket = socket;
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = stream};
        epoll_ctl(poller, EPOLL_CTL_ADD, socket, &event);
    }
}

static int listen_anywhere(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 4096) ||
        getsockname(listener, (struct sockaddr *)&address, &size)) {
        perror("listen");
        exit(2);
    }
    printf("{\"port\":%d}\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

static void serve_due(int64_t now) {
    struct due_item *item;
    while ((item = due_first(&queue)) && item->at <= now) {
        struct stream *stream = (struct stream *)item;
        due_remove(&queue, item);
        if (!advance(stream, now)) close_stream(stream);
    }
    item = due_first(&queue);
    const int64_t at = item ? item->at : 0;
    const struct itimerspec when = {.it_value = {at / 1000000, at % 1000000 * 1000}};
    timerfd_settime(queue.timer, TFD_TIMER_ABSTIME, &when, NULL);
}

static void watch(int file, void *owner) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = owner};
    epoll_ctl(poller, EPOLL_CTL_ADD, file, &event);
}

static void serve(int listener) {
    watch(listener, &listener);
    watch(queue.timer, &queue);
    watch(STDIN_FILENO, &poller);
    struct epoll_event events[256];
    for (;;) {
        const int count = epoll_wait(poller, events, 256, -1);
        for (int index = 0; index < count; index++) {
            void *owner = events[index].data.ptr;
            if (owner == &listener) {
                accept_all(listener);
            } else if (owner == &queue) {
                uint64_t expirations;
                if (read(queue.timer, &expirations, sizeof expirations) < 0) continue;
            } else if (owner == &poller) {
                char rest[64];
                if (read(STDIN_FILENO, rest, sizeof rest) <= 0) return;
            } else if (!receive(owner) || !advance(owner, now_us())) {
                close_stream(owner);
            }
        }
        serve_due(now_us());
    }
}

int main(int count, char **arguments) {
    int tokens = 1500;
    double rate = 50;
    for (int at = 1; at + 1 < count; at += 2) {
        if (strcmp(arguments[at], "--tokens") == 0) tokens = atoi(arguments[at + 1]);
        if (strcmp(arguments[at], "--rate") == 0) rate = atof(arguments[at + 1]);
    }
    if (!set_pace(tokens, rate, 0, 0.5)) {
        fprintf(stderr, "a plan of %d tokens, %g a second, cannot be written\n", tokens, rate);
        return 2;
    }
    poller = epoll_create1(0);
    queue.timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    const int listener = listen_anywhere();
    serve(listener);
    return 0;
}
