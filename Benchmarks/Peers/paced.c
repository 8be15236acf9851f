// paced <port> <channel> <payload bytes> <messages per second>: plain hiredis on two blocking connections of one thread,
// which publishes on schedule and reads what comes back; the payload begins with the time it was sent.
//
// `done <CPU us> <wall us> <p50 us> <p99 us>`
#define _GNU_SOURCE
#include "peer.h"

#include <poll.h>
#include <sys/prctl.h>

static int compare(const void *left, const void *right) {
    int64_t difference = *(const int64_t *)left - *(const int64_t *)right;
    return difference < 0 ? -1 : difference > 0;
}

// Reads what has arrived and hands out each reply that is whole.
static void drain(redisContext *context, void (*take)(redisReply *)) {
    if (redisBufferRead(context) != REDIS_OK) fail("connection lost: %s", context->errstr);
    while (1) {
        void *reply = NULL;
        if (redisGetReplyFromReader(context, &reply) != REDIS_OK) fail("bad reply: %s", context->errstr);
        if (reply == NULL) return;
        if (((redisReply *)reply)->type == REDIS_REPLY_ERROR) fail("refused: %s", ((redisReply *)reply)->str);
        take(reply);
        freeReplyObject(reply);
    }
}

static int64_t *latencies;
static long received, confirmed;

static void take_message(redisReply *reply) {
    int64_t sent;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3) fail("not a message");
    memcpy(&sent, reply->element[2]->str, sizeof sent);
    latencies[received++] = nanoseconds(CLOCK_MONOTONIC) - sent;
}

static void take_answer(redisReply *reply) {
    (void)reply;
    confirmed++;
}

static void publish(redisContext *context, const char *channel, char *payload, size_t length) {
    int64_t now = nanoseconds(CLOCK_MONOTONIC);
    memcpy(payload, &now, sizeof now);
    const char *words[] = {"PUBLISH", channel, payload};
    const size_t lengths[] = {7, strlen(channel), length};
    redisAppendCommandArgv(context, 3, words, lengths);
    for (int done = 0; !done;)
        if (redisBufferWrite(context, &done) != REDIS_OK) fail("connection lost: %s", context->errstr);
}

static void wait_until(int64_t due, struct pollfd *sockets) {
    int64_t left = due - nanoseconds(CLOCK_MONOTONIC);
    if (left < 0) left = 0;
    struct timespec time = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
    ppoll(sockets, 2, &time, NULL);
}

int main(int count, char *arguments[]) {
    if (count != 5) fail("paced <port> <channel> <payload bytes> <messages per second>");
    redisContext *publisher = connect_to(arguments[1]), *subscriber = connect_to(arguments[1]);
    freeReplyObject(redisCommand(subscriber, "SUBSCRIBE %s", arguments[2]));
    size_t length = (size_t)atol(arguments[3]);
    int64_t interval = 1000000000 / atol(arguments[4]);
    char *payload = calloc(1, length);
    if (payload == NULL || length < sizeof(int64_t)) fail("no room for a time");
    // A timer of an event loop is not rounded either.
    prctl(PR_SET_TIMERSLACK, 1);
    struct pollfd sockets[] = {
        {.fd = publisher->fd, .events = POLLIN},
        {.fd = subscriber->fd, .events = POLLIN},
    };
    say_ready();
    for (long messages; (messages = next_slice()) > 0;) {
        latencies = malloc((size_t)messages * sizeof *latencies);
        if (latencies == NULL) fail("no memory");
        received = confirmed = 0;
        double cpu = cpu_microseconds(), wall = wall_microseconds();
        int64_t due = nanoseconds(CLOCK_MONOTONIC);
        for (long sent = 0; received < messages || confirmed < messages;) {
            for (; sent < messages && nanoseconds(CLOCK_MONOTONIC) >= due; sent++, due += interval)
                publish(publisher, arguments[2], payload, length);
            wait_until(sent < messages ? due : due + 5000000000, sockets);
            if (sockets[0].revents != 0) drain(publisher, take_answer);
            if (sockets[1].revents != 0) drain(subscriber, take_message);
        }
        cpu = cpu_microseconds() - cpu;
        wall = wall_microseconds() - wall;
        qsort(latencies, (size_t)messages, sizeof *latencies, compare);
        say("done %.3f %.3f %.3f %.3f", cpu, wall, (double)latencies[messages / 2] / 1000,
            (double)latencies[messages * 99 / 100] / 1000);
        free(latencies);
    }
}
