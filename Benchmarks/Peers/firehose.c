// A server that costs its readers nothing: answers what a client says when it logs in and subscribes, and plays prepared
// bytes to a subscriber as fast as they are taken.
//
//   firehose            prints `ready <port>`; then on standard input, one per line:
//   play <channel> <file> <times>
//
// `file` holds whole frames of `message` for that channel. All is one process with one thread: what it costs is its own
// CPU time, never the reader's.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { max_clients = 64, max_names = 16, max_words = 64, input_size = 65536, output_size = 1 << 20, vectors = 16 };

typedef struct {
    const char *bytes;
    size_t length;
} span;

typedef struct {
    int socket;
    char names[max_names][128];
    int name_count;
    char input[input_size];
    size_t input_length;
    // Answers wait here until a play has ended: frames must not be torn.
    char output[output_size];
    size_t output_length;
    span play;
    size_t play_offset;
    long play_times;
} client;

static client *clients[max_clients];

static void fail(const char *what) {
    fprintf(stderr, "firehose: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void drop(int index) {
    client *each = clients[index];
    close(each->socket);
    if (each->play.bytes != NULL) munmap((void *)each->play.bytes, each->play.length);
    free(each);
    clients[index] = NULL;
}

static void answer(client *to, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    size_t room = output_size - to->output_length;
    int length = vsnprintf(to->output + to->output_length, room, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= room) fail("too many answers wait");
    to->output_length += (size_t)length;
}

static void subscribe(client *to, const char *name) {
    if (to->name_count == max_names || strlen(name) >= sizeof to->names[0]) fail("too many or too long names");
    strcpy(to->names[to->name_count++], name);
    answer(to, "*3\r\n$9\r\nsubscribe\r\n$%zu\r\n%s\r\n:%d\r\n", strlen(name), name, to->name_count);
}

static void unsubscribe(client *to, const char *name) {
    for (int index = 0; index < to->name_count; index++) {
        if (strcmp(to->names[index], name) != 0) continue;
        if (index != --to->name_count) strcpy(to->names[index], to->names[to->name_count]);
        break;
    }
    answer(to, "*3\r\n$11\r\nunsubscribe\r\n$%zu\r\n%s\r\n:%d\r\n", strlen(name), name, to->name_count);
}

static void obey(client *from, char *words[], int count) {
    if (strcasecmp(words[0], "SUBSCRIBE") == 0) {
        for (int index = 1; index < count; index++) subscribe(from, words[index]);
    } else if (strcasecmp(words[0], "UNSUBSCRIBE") == 0) {
        for (int index = 1; index < count; index++) unsubscribe(from, words[index]);
    } else if (strcasecmp(words[0], "PING") == 0) {
        answer(from, from->name_count > 0 ? "*2\r\n$4\r\npong\r\n$0\r\n\r\n" : "+PONG\r\n");
    } else if (strcasecmp(words[0], "ROLE") == 0) {
        answer(from, "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n");
    } else if (strcasecmp(words[0], "INFO") == 0) {
        const char *text = "redis_version:7.0.15\r\nrun_id:0000000000000000000000000000000000000001\r\n";
        answer(from, "$%zu\r\n%s\r\n", strlen(text), text);
    } else {
        answer(from, "+OK\r\n");
    }
}

// Takes one command off the input; false when it is not all there.
static int take_command(client *from, size_t *offset) {
    char *at = from->input + *offset, *end = from->input + from->input_length;
    char *words[max_words] = {NULL}, *ends[max_words];
    char *line = memchr(at, '\n', (size_t)(end - at));
    if (line == NULL) return 0;
    int count = atoi(at + 1);
    if (*at != '*' || count < 1 || count > max_words) fail("not a command");
    at = line + 1;
    for (int index = 0; index < count; index++) {
        line = memchr(at, '\n', (size_t)(end - at));
        if (line == NULL) return 0;
        long length = atol(at + 1);
        at = line + 1;
        if (length < 0 || end - at < length + 2) return 0;
        words[index] = at;
        ends[index] = at + length;
        at += length + 2;
    }
    // The bytes behind each word have been read: they become its end.
    for (int index = 0; index < count; index++) *ends[index] = '\0';
    obey(from, words, count);
    *offset = (size_t)(at - from->input);
    return 1;
}

static int receive(client *from) {
    ssize_t got = read(from->socket, from->input + from->input_length, input_size - 1 - from->input_length);
    if (got <= 0) return got < 0 && errno == EAGAIN;
    from->input_length += (size_t)got;
    from->input[from->input_length] = '\0';
    size_t offset = 0;
    while (offset < from->input_length && take_command(from, &offset)) continue;
    from->input_length -= offset;
    memmove(from->input, from->input + offset, from->input_length);
    return from->input_length < input_size - 1;
}

static int send_play(client *to) {
    while (to->play_times > 0) {
        struct iovec parts[vectors];
        int count = 0;
        for (; count < vectors && count < to->play_times; count++) {
            size_t from = count == 0 ? to->play_offset : 0;
            parts[count].iov_base = (void *)(to->play.bytes + from);
            parts[count].iov_len = to->play.length - from;
        }
        ssize_t sent = writev(to->socket, parts, count);
        if (sent < 0) return errno == EAGAIN;
        to->play_offset += (size_t)sent;
        to->play_times -= (long)(to->play_offset / to->play.length);
        to->play_offset %= to->play.length;
    }
    if (to->play.bytes != NULL) munmap((void *)to->play.bytes, to->play.length);
    to->play.bytes = NULL;
    return 1;
}

static int send_answers(client *to) {
    if (to->play_times > 0 || to->output_length == 0) return 1;
    ssize_t sent = write(to->socket, to->output, to->output_length);
    if (sent < 0) return errno == EAGAIN;
    to->output_length -= (size_t)sent;
    memmove(to->output, to->output + sent, to->output_length);
    return 1;
}

static span map_file(const char *path) {
    int file = open(path, O_RDONLY);
    struct stat facts;
    if (file < 0 || fstat(file, &facts) != 0 || facts.st_size == 0) fail(path);
    void *bytes = mmap(NULL, (size_t)facts.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
    if (bytes == MAP_FAILED) fail(path);
    close(file);
    return (span){bytes, (size_t)facts.st_size};
}

static void start_play(const char *channel, const char *path, long times) {
    for (int index = 0; index < max_clients; index++) {
        client *each = clients[index];
        for (int name = 0; each != NULL && name < each->name_count; name++) {
            if (strcmp(each->names[name], channel) != 0) continue;
            if (each->play_times > 0) fail("a play is still going on");
            each->play = map_file(path);
            each->play_offset = 0;
            each->play_times = times;
            return;
        }
    }
    errno = ENOENT;
    fail("nobody subscribes to that channel");
}

static void read_request(void) {
    char line[1024], channel[128], path[768];
    long times = 0;
    // Read by hand: what a stream holds back, poll does not see.
    size_t length = 0;
    while (length < sizeof line - 1) {
        ssize_t got = read(STDIN_FILENO, line + length, 1);
        if (got <= 0) exit(0);
        if (line[length] == '\n') break;
        length++;
    }
    line[length] = '\0';
    if (sscanf(line, "play %127s %767s %ld", channel, path, &times) != 3 || times < 1) fail("not a request");
    start_play(channel, path, times);
}

static void welcome(int listener) {
    int socket = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (socket < 0) return;
    int on = 1;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    for (int index = 0; index < max_clients; index++) {
        if (clients[index] != NULL) continue;
        clients[index] = calloc(1, sizeof(client));
        if (clients[index] == NULL) fail("no memory");
        clients[index]->socket = socket;
        return;
    }
    close(socket);
}

static int open_listener(void) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, length) != 0 || listen(listener, 64) != 0
        || getsockname(listener, (struct sockaddr *)&address, &length) != 0)
        fail("cannot listen");
    printf("ready %d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

int main(void) {
    int listener = open_listener();
    while (1) {
        struct pollfd wanted[2 + max_clients];
        int owner[2 + max_clients];
        nfds_t count = 2;
        wanted[0] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
        wanted[1] = (struct pollfd){.fd = listener, .events = POLLIN};
        for (int index = 0; index < max_clients; index++) {
            client *each = clients[index];
            if (each == NULL) continue;
            short events = POLLIN | (each->play_times > 0 || each->output_length > 0 ? POLLOUT : 0);
            wanted[count] = (struct pollfd){.fd = each->socket, .events = events};
            owner[count++] = index;
        }
        if (poll(wanted, count, -1) < 0 && errno != EINTR) fail("poll");
        if (wanted[0].revents != 0) read_request();
        if (wanted[1].revents != 0) welcome(listener);
        for (nfds_t index = 2; index < count; index++) {
            client *each = clients[owner[index]];
            int lives = 1;
            if (wanted[index].revents & (POLLIN | POLLHUP | POLLERR)) lives = receive(each);
            if (lives) lives = send_play(each) && send_answers(each);
            if (!lives) drop(owner[index]);
        }
    }
}
