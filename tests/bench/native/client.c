/* The load client: starts plans at a rate, follows each with so many viewers, and asks and cancels beside them.
 *
 * One process, one thread. It writes a line of JSON a second about its progress, and one with the result, to standard
 * output. See options.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "connection.h"
#include "options.h"
#include "report.h"
#include "requests.h"

static struct {
    struct options options;
    struct tally tally;
    struct answers answers;
    struct plan *plans;
    struct pool pool;
    int started, opened; /* plans that were asked for, and that have had their first event */
    int64_t began;
    uint64_t statuses, lives;
    int cancelled, reconnected, next_second;
} client;

static double elapsed(void) { return (double)(now_us() - client.began) / 1e6; }

static void record(struct histogram *histogram, int64_t value) {
    if (client.tally.measuring) histogram_add(histogram, value);
}

static void close_connection(struct connection *connection) { connection_close(&client.pool, connection); }

static void ask(struct connection *connection, enum purpose purpose) {
    connection->purpose = purpose;
    connection->asked_at = now_us();
    buffer_clear(&connection->body);
    http_reset(&connection->http);
}

static void open_viewer(struct plan *plan) {
    struct connection *connection = connection_open(&client.pool, plan);
    request_events(&connection->out, plan, client.options.path);
    connection->awaits = 1;
    ask(connection, STREAM);
}

static void start_plan(void) {
    struct plan *plan = &client.plans[client.started++];
    if (strcmp(client.options.mode, "watch") == 0) {
        open_viewer(plan);
        return;
    }
    plan_user(plan);
    struct connection *connection = connection_open(&client.pool, plan);
    connection->starts = 1;
    if (strcmp(client.options.mode, "direct") == 0) {
        request_completion(&connection->out);
        ask(connection, STREAM);
    } else {
        request_inputs(&connection->out, plan);
        ask(connection, INPUTS);
    }
}

/* The first event of a start names the plan; whoever else watches it comes now. */
static void started(struct connection *connection, const struct event *event, int64_t at) {
    struct plan *plan = connection->plan;
    record(&client.answers.first_event, at - connection->asked_at);
    client.opened++;
    connection->awaits = 1;
    if (!json_text(event->data, "planId", plan->id, sizeof plan->id)) return;
    plan->running = 1;
    for (int viewer = 1; viewer < (int)client.options.viewers; viewer++) open_viewer(plan);
}

static void on_event(void *owner, const struct event *event) {
    struct connection *connection = owner;
    const int64_t at = now_us();
    if (connection->follow.ended) {
        follow_event(&connection->follow, &client.tally, event, at); /* it should not have come */
        return;
    }
    if (connection->starts && !connection->follow.opened) started(connection, event, at);
    if (connection->awaits && !connection->starts && strcmp(event->name, "snapshot") == 0) {
        struct answers *answers = &client.answers;
        histogram_add(client.reconnected ? &answers->snapshot : &answers->attach, at - connection->asked_at);
        connection->awaits = 0;
    }
    follow_event(&connection->follow, &client.tally, event, at);
    if (connection->awaits && connection->starts && connection->follow.markers.count > 0) {
        record(&client.answers.first_text, at - connection->asked_at);
        connection->awaits = 0;
    }
    if (!connection->follow.ended) return;
    connection->plan->running = 0;
    if (connection->plan->cancelled_at) record(&client.answers.cancelled_event, at - connection->plan->cancelled_at);
}

static void on_body(void *owner, const char *data, size_t length) {
    struct connection *connection = owner;
    if (connection->purpose == STREAM && http_status(&connection->http) == 200) {
        sse_feed(&connection->sse, data, length, on_event, connection);
    } else {
        buffer_add(&connection->body, data, length);
    }
}

static void refuse(struct connection *connection) {
    buffer_add(&connection->body, "", 1);
    if (client.answers.refused++ < 3)
        fprintf(stderr, "refused: %s %.300s\n", connection->http.first, connection->body.data);
    close_connection(connection);
}

/* A whole answer. */
static void answered(struct connection *connection, int64_t at) {
    struct answers *answers = &client.answers;
    const int status = http_status(&connection->http);
    if (status < 200 || status > 299) {
        refuse(connection);
        return;
    }
    buffer_add(&connection->body, "", 1);
    switch (connection->purpose) {
    case INPUTS:
        record(&answers->inputs, at - connection->asked_at);
        if (!json_text(connection->body.data, "preferenceId", connection->plan->preference, 40)) {
            refuse(connection);
            return;
        }
        request_start(&connection->out, connection->plan);
        ask(connection, STREAM);
        return;
    case STATUS:
        record(&answers->status, at - connection->asked_at);
        break;
    case LIVE:
        record(&answers->live, at - connection->asked_at);
        break;
    case CANCEL:
        record(&answers->cancel, at - connection->asked_at);
        break;
    case STREAM:
        if (!connection->follow.ended) answers->broken++;
    }
    close_connection(connection);
}

static void gone(struct connection *connection) {
    if (!connection->follow.ended) {
        if (connection->http.stage == HTTP_FIRST) client.answers.connect_failures++;
        else client.answers.broken++;
    }
    close_connection(connection);
}

static void receive(struct connection *connection) {
    static char data[262144];
    while (connection->socket >= 0) {
        const ssize_t length = recv(connection->socket, data, sizeof data, 0);
        if (length < 0 && errno == EAGAIN) return;
        if (length <= 0) {
            gone(connection);
            return;
        }
        if (http_feed(&connection->http, data, (size_t)length, on_body, connection) < 0) {
            gone(connection);
            return;
        }
        if (connection->http.stage == HTTP_DONE) answered(connection, now_us());
        if (connection->socket >= 0 && !buffer_send(&connection->out, connection->socket)) gone(connection);
        if ((size_t)length < sizeof data) return;
    }
}

static void ask_beside(enum purpose purpose, struct plan *plan) {
    struct connection *connection = connection_open(&client.pool, plan);
    connection->follow.ended = 1; /* it follows nothing */
    if (purpose == STATUS) request_of(&connection->out, plan, "GET", "status");
    if (purpose == CANCEL) request_of(&connection->out, plan, "DELETE", "cancel");
    if (purpose == LIVE) request_path(&connection->out, "/livez");
    ask(connection, purpose);
}

static struct plan *running_plan(void) {
    for (int tries = 0; tries < 100 && client.started > 0; tries++) {
        struct plan *plan = &client.plans[rand() % client.started];
        if (plan->running && !plan->cancelled_at) return plan;
    }
    return NULL;
}

static void cancel_some(void) {
    for (; client.cancelled < client.options.cancels; client.cancelled++) {
        struct plan *plan = running_plan();
        if (plan == NULL) return;
        plan->cancelled_at = now_us();
        ask_beside(CANCEL, plan);
    }
}

/* Viewers, not who started: each leaves and comes back, all at once. */
static void reconnect_some(void) {
    struct connection *connection = client.pool.open, *next;
    const int wanted = (int)client.options.reconnects;
    struct plan **back = calloc((size_t)wanted + 1, sizeof *back);
    int count = 0;
    for (; connection && count < wanted; connection = next) {
        next = connection->next;
        if (connection->purpose != STREAM || connection->starts || connection->follow.ended) continue;
        back[count++] = connection->plan;
        close_connection(connection);
    }
    for (int index = 0; index < count; index++) open_viewer(back[index]);
    client.reconnected = count;
    free(back);
}

/* Does what is due; returns the milliseconds until the next look. */
static int do_due(void) {
    const struct options *options = &client.options;
    const double now = elapsed();
    client.tally.measuring = now >= options->measure_from && now < options->measure_to;
    while (client.started < options->starts && client.started <= now * options->rate &&
           client.pool.count < options->at_once)
        start_plan();
    while (client.tally.measuring && (double)client.statuses < (now - options->measure_from) * options->status_rate) {
        struct plan *plan = running_plan();
        if (plan) ask_beside(STATUS, plan);
        client.statuses++;
    }
    while (client.tally.measuring && (double)client.lives < (now - options->measure_from) * options->live_rate) {
        ask_beside(LIVE, client.plans);
        client.lives++;
    }
    if (options->cancels > client.cancelled && now >= options->cancel_at) cancel_some();
    if (options->reconnects > 0 && client.reconnected == 0 && now >= options->reconnect_at) reconnect_some();
    return 1;
}

static void say_second(void) {
    const struct tally *tally = &client.tally;
    printf("{\"second\":%d,\"started\":%d,\"opened\":%d,\"connections\":%d,\"texts\":%" PRIu64 ",\"events\":%" PRIu64
           ",\"updates\":%" PRIu64 ",\"ended\":%" PRIu64 "}\n",
           client.next_second++, client.started, client.opened, client.pool.count, tally->texts, tally->events,
           tally->updates, tally->completed + tally->cancelled + tally->failed);
    fflush(stdout);
}

static int unfinished(void) {
    int count = 0;
    for (const struct connection *connection = client.pool.open; connection; connection = connection->next)
        count += connection->purpose != STREAM || !connection->follow.ended;
    return count;
}

static void say_result(void) {
    const struct outcome outcome = {elapsed(), client.started, unfinished(), client.reconnected};
    report_result(&outcome, &client.tally, &client.answers);
}

static void run(void) {
    struct epoll_event events[512];
    const int all = (int)client.options.starts;
    while (elapsed() < client.options.seconds && (client.started < all || client.pool.count > 0)) {
        const int count = epoll_wait(client.pool.poller, events, 512, do_due());
        for (int index = 0; index < count; index++) {
            struct connection *connection = events[index].data.ptr;
            if (connection->socket < 0) continue;
            if (events[index].events & EPOLLOUT && !buffer_send(&connection->out, connection->socket)) gone(connection);
            if (connection->socket >= 0 && events[index].events & ~(uint32_t)EPOLLOUT) receive(connection);
        }
        connection_bury(&client.pool);
        if (elapsed() >= client.next_second + 1) say_second();
    }
}

int main(int count, char **arguments) {
    client.options = options_read(count, arguments);
    client.tally.marked = (uint32_t)client.options.marked;
    client.tally.token_us = 1e6 / client.options.tokens_per_second;
    client.plans = calloc((size_t)client.options.starts, sizeof *client.plans);
    client.pool.poller = epoll_create1(0);
    client.pool.port = (int)client.options.port;
    if (client.plans == NULL) return 2;
    srand((unsigned)getpid());
    client.began = now_us();
    run();
    say_result();
    return 0;
}
