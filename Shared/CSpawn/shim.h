// Declares the GNU extensions that a child process needs and that the Glibc module hides: a child must inherit no
// descriptor but those it is given.
#pragma once

#include <spawn.h>

extern int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *actions, int from);
extern int posix_spawn_file_actions_addchdir_np(posix_spawn_file_actions_t *restrict actions, const char *restrict path);
extern int pipe2(int ends[2], int flags);
extern int memfd_create(const char *name, unsigned int flags);
