// path <redis port> <messages per second> <messages>: the way of an order with nothing but its hops and its commits.
// One process publishes; a second receives, commits and publishes; a third receives and commits. Plain hiredis and libpq,
// blocking; the database is DATABASE_URL.
//
// Unlike the other peers it does one slice and ends. It prints for each message five times in us since 1970: published,
// received, committed, received, committed.
#define _GNU_SOURCE
#include "peer.h"

#include <fcntl.h>
#include <libpq-fe.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { times_in_message = 5, payload_bytes = 700 };

// As long as the message of a signal; the times come first.
struct message {
    int64_t times[times_in_message];
    char payload[payload_bytes];
};

static int64_t now(void) { return nanoseconds(CLOCK_REALTIME) / 1000; }

static PGconn *connect_database(void) {
    const char *url = getenv("DATABASE_URL");
    if (url == NULL) fail("DATABASE_URL is not set");
    PGconn *connection = PQconnectdb(url);
    if (PQstatus(connection) != CONNECTION_OK) fail("no database: %s", PQerrorMessage(connection));
    return connection;
}

static void execute(PGconn *connection, const char *sql) {
    PGresult *result = PQexec(connection, sql);
    if (PQresultStatus(result) != PGRES_COMMAND_OK) fail("%s: %s", sql, PQerrorMessage(connection));
    PQclear(result);
}

// One statement that stores `rows` rows, a transaction of its own in one round trip.
static void prepare(PGconn *connection, int rows) {
    char sql[400];
    snprintf(sql, sizeof sql,
             "INSERT INTO bare (id, game, market, price, quantity, body) "
             "SELECT $1 || '-' || n, 'game-' || $1, 'KXNBAGAME-26NOV21A001H001-H001', 4100, 400, $2::jsonb "
             "FROM generate_series(1, %d) AS n",
             rows);
    PGresult *result = PQprepare(connection, "store", sql, 2, NULL);
    if (PQresultStatus(result) != PGRES_COMMAND_OK) fail("prepare: %s", PQerrorMessage(connection));
    PQclear(result);
}

static void commit(PGconn *connection, const char *id) {
    static const char *body =
        "{\"signal\": \"4f7c0a52-0c1e-4c53-9a5e-3b6f6c1d2e90-1234\", \"verdict\": \"approved\","
        " \"shard\": \"shard-01\", \"epoch\": \"1\", \"price\": \"0.4100\", \"probability\": \"0.93\", \"edge_basis_points\": \"5012\","
        " \"outcome\": \"yes\", \"quantity\": \"4.00\", \"reserved\": \"1.7100\"}";
    const char *values[] = {id, body};
    PGresult *result = PQexecPrepared(connection, "store", 2, values, NULL, NULL, 0);
    if (PQresultStatus(result) != PGRES_COMMAND_OK) fail("not stored: %s", PQerrorMessage(connection));
    PQclear(result);
}

static void publish(redisContext *redis, const char *channel, const struct message *message) {
    redisReply *reply = redisCommand(redis, "PUBLISH %s %b", channel, message, sizeof *message);
    if (reply == NULL || reply->type != REDIS_REPLY_INTEGER) fail("not published: %s", redis->errstr);
    freeReplyObject(reply);
}

static void receive(redisContext *redis, struct message *message) {
    redisReply *reply = next_reply(redis);
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3 || reply->element[2]->len != sizeof *message)
        fail("not a message");
    memcpy(message, reply->element[2]->str, sizeof *message);
    freeReplyObject(reply);
}

// Receives on its channel, commits, and hands the message on, or to the first process when there is no next channel.
static void relay(const char *port, int step, const char *from, const char *to, int rows, int results) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    redisContext *subscriber = connect_to(port), *publisher = connect_to(port);
    freeReplyObject(redisCommand(subscriber, "SUBSCRIBE %s", from));
    PGconn *database = connect_database();
    prepare(database, rows);
    if (write(results, "ready\n", 6) != 6) fail("nobody listens");
    struct message message;
    for (long number = 0;; number++) {
        receive(subscriber, &message);
        message.times[step] = now();
        char id[40];
        snprintf(id, sizeof id, "%d-%ld", step, number);
        commit(database, id);
        message.times[step + 1] = now();
        if (to != NULL) {
            publish(publisher, to, &message);
        } else if (write(results, message.times, sizeof message.times) != sizeof message.times) {
            fail("nobody listens");
        }
    }
}

static void read_whole(int file, void *bytes, size_t length) {
    for (size_t done = 0; done < length;) {
        ssize_t count = read(file, (char *)bytes + done, length - done);
        if (count <= 0) fail("a process of the bare line has ended");
        done += (size_t)count;
    }
}

static void a_child_has_ended(int number) {
    (void)number;
    _exit(1);
}

int main(int count, char *arguments[]) {
    if (count != 4) fail("path <redis port> <messages per second> <messages>");
    int64_t interval = 1000000000 / atol(arguments[2]);
    long messages = atol(arguments[3]);
    PGconn *database = connect_database();
    execute(database, "CREATE TABLE bare (id text PRIMARY KEY, game text NOT NULL, market text NOT NULL, "
                      "price bigint NOT NULL, quantity bigint NOT NULL, body jsonb NOT NULL, "
                      "at timestamptz NOT NULL DEFAULT now())");
    execute(database, "CREATE INDEX bare_by_game ON bare (game, at)");
    PQfinish(database);
    int results[2];
    // Room for all results: nobody reads them while the others are measured.
    if (pipe(results) != 0 || fcntl(results[1], F_SETPIPE_SZ, 1 << 20) < 0) fail("no pipe");
    signal(SIGCHLD, a_child_has_ended);
    for (int index = 0; index < 2; index++) {
        pid_t child = fork();
        if (child < 0) fail("no process");
        // A signal, its reservation, intent, announcement and audit entry; then an order and its audit entry.
        if (child == 0)
            relay(arguments[1], 1 + 2 * index, index == 0 ? "bare:1" : "bare:2", index == 0 ? "bare:2" : NULL,
                  index == 0 ? 5 : 2, results[1]);
        char ready[6];
        read_whole(results[0], ready, sizeof ready);
    }
    redisContext *redis = connect_to(arguments[1]);
    prctl(PR_SET_TIMERSLACK, 1);
    int64_t due = nanoseconds(CLOCK_MONOTONIC);
    for (long sent = 0; sent < messages; sent++, due += interval) {
        struct timespec time = {.tv_sec = due / 1000000000, .tv_nsec = due % 1000000000};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
        struct message message = {.times = {now()}};
        publish(redis, "bare:1", &message);
    }
    for (long index = 0; index < messages; index++) {
        int64_t times[times_in_message];
        read_whole(results[0], times, sizeof times);
        for (int time = 0; time < times_in_message; time++) printf(time == 0 ? "%ld" : " %ld", (long)times[time]);
        putchar('\n');
    }
    // The children end with this process.
}
