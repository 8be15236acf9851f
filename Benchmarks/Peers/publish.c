// publish <port> <channel> <payload bytes> <depth>: plain hiredis, `depth` PUBLISH at a time on one connection.
//
// `done <CPU us> <wall us> <messages>`
#include "peer.h"

int main(int count, char *arguments[]) {
    if (count != 5) fail("publish <port> <channel> <payload bytes> <depth>");
    redisContext *context = connect_to(arguments[1]);
    size_t length = (size_t)atol(arguments[3]);
    long depth = atol(arguments[4]);
    char *payload = malloc(length);
    if (payload == NULL || depth < 1) fail("no memory or no depth");
    memset(payload, 'x', length);
    const char *words[] = {"PUBLISH", arguments[2], payload};
    const size_t lengths[] = {7, strlen(arguments[2]), length};
    say_ready();
    for (long messages; (messages = next_slice()) > 0;) {
        double cpu = cpu_microseconds(), wall = wall_microseconds();
        for (long left = messages; left > 0;) {
            long batch = left < depth ? left : depth;
            for (long each = 0; each < batch; each++) redisAppendCommandArgv(context, 3, words, lengths);
            for (long each = 0; each < batch; each++) freeReplyObject(next_reply(context));
            left -= batch;
        }
        cpu = cpu_microseconds() - cpu;
        say("done %.3f %.3f %ld", cpu, wall_microseconds() - wall, messages);
    }
}
