// subscribe <port> <channel>: plain hiredis, blocking, one thread; counts messages and their bytes.
//
// `done <CPU us> <wall us> <payload bytes>`
#include "peer.h"

int main(int count, char *arguments[]) {
    if (count != 3) fail("subscribe <port> <channel>");
    redisContext *context = connect_to(arguments[1]);
    freeReplyObject(redisCommand(context, "SUBSCRIBE %s", arguments[2]));
    say_ready();
    for (long messages; (messages = next_slice()) > 0;) {
        say("armed");
        size_t bytes = 0;
        double cpu = cpu_microseconds(), wall = wall_microseconds();
        for (long left = messages; left > 0; left--) {
            redisReply *reply = next_reply(context);
            if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3) fail("not a message");
            bytes += reply->element[2]->len;
            freeReplyObject(reply);
        }
        cpu = cpu_microseconds() - cpu;
        say("done %.3f %.3f %zu", cpu, wall_microseconds() - wall, bytes);
    }
}
