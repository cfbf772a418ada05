/* SPDX-License-Identifier: 0BSD */
/*
 * One connection. Copying takes two threads, one for each direction, on the two halves of a pair: the sender reads
 * standard input, and the caller's thread receives. The receiver ends the sender by closing the wake pipe; the sender
 * tells that it is through by closing the done pipe.
 */
#include "wspipe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct copy {
	const struct wspipe_config *config;
	struct wspipe_input *input;	/* sender's, and the caller's when the sender is through */
	FILE *half[2];
	int wake[2], done[2];
	int input_fd;			/* sender's: where it reads standard input */
	atomic_bool failed;		/* our side broke: the sender's Close must not look like a good end */
	size_t sent;			/* sender's: bytes of this connection */
	int input_error;		/* sender's: errno of standard input */
	int write_error;		/* sender's: errno of the stream; what was read is not all sent */
};

/* The copy whose sender has something to send still, and the signal that came meanwhile. */
static struct {
	pthread_mutex_t lock;
	struct copy *copy;		/* the lock's; NULL = there is none */
	atomic_int signal_number;
} current = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void set_current(struct copy *copy)
{
	pthread_mutex_lock(&current.lock);
	current.copy = copy;
	pthread_mutex_unlock(&current.lock);
}

bool wspipe_interrupt(int signal_number)
{
	bool found;

	pthread_mutex_lock(&current.lock);
	found = current.copy != NULL;
	if (found) {
		atomic_store(&current.signal_number, signal_number);
		wspipe_ring(current.copy->wake[1]);
	}
	pthread_mutex_unlock(&current.lock);
	return found;
}

int wspipe_interrupted(void)
{
	return atomic_load(&current.signal_number);
}

/* --- the sender --- */

/*
 * Control-C throws away what was typed, also what poll(2) has just told of: reading must not wait for more, as nobody
 * would look at the signal. The flags of standard input belong to others, too, so a terminal is opened once more.
 */
static int open_input(void)
{
	char name[256];
	int fd = -1;

	if (isatty(STDIN_FILENO) && ttyname_r(STDIN_FILENO, name, sizeof name) == 0)
		fd = open(name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return fd >= 0 ? fd : STDIN_FILENO;
}

/* Waits for input. Returns false when the receiver wants an end. What is written goes out before any waiting. */
static bool wait_for_input(struct copy *copy)
{
	struct pollfd fds[2] = {
		{ .fd = copy->wake[0], .events = POLLIN },
		{ .fd = copy->input_fd, .events = POLLIN },
	};

	int ready = poll(fds, 2, 0);
	if (ready == 0) {
		if (fflush(copy->half[1]) != 0) {
			copy->write_error = errno;
			return false;
		}
		do
			ready = poll(fds, 2, -1);
		while (ready < 0 && errno == EINTR);
	}
	return fds[0].revents == 0;
}

/* Returns false when nothing more is to be read. */
static bool send_block(struct copy *copy, char *block)
{
	ssize_t size = read(copy->input_fd, block, WSPIPE_BLOCK);

	if (size < 0 && (errno == EINTR || errno == EAGAIN))
		return true;
	if (size <= 0) {
		/* What writes our input has got the same Ctrl-C, and may have ended by it before we hear. */
		wspipe_signals_settle();
		copy->input->ended = true;
		copy->input_error = size < 0 ? errno : 0;
		return false;
	}
	copy->sent += (size_t)size;
	if (fwrite(block, 1, (size_t)size, copy->half[1]) != (size_t)size) {
		copy->write_error = errno;
		return false;
	}
	wspipe_count_sent((size_t)size);
	return true;
}

/*
 * Sends the Close. 1011 tells the peer that it has not got everything. Of what is typed at a terminal nothing is
 * missing when somebody goes: every line is sent as a whole.
 */
static void finish_sending(struct copy *copy)
{
	unsigned code = copy->config->close_code;
	const char *reason = copy->config->close_reason;

	if (copy->write_error != 0)
		return;
	if (copy->input_error != 0 || atomic_load(&copy->failed)) {
		code = 1011;
		reason = NULL;
	} else if (wspipe_interrupted() != 0) {
		code = isatty(STDIN_FILENO) ? 1001 : 1011;
		reason = "interrupted";
	}
	if (fflush(copy->half[1]) != 0 || !wspipe_shutdown(copy->half, code, reason))
		copy->write_error = errno;
}

/* Between the end of input and our Close: -q, or for ever where there was nothing to send and others come later. */
static void hold_open(struct copy *copy)
{
	struct pollfd wake = { .fd = copy->wake[0], .events = POLLIN };
	int wait_ms = copy->config->quit_ms;

	if (copy->input_error != 0 || wspipe_interrupted() != 0)
		return;
	if (copy->config->keep && copy->sent == 0)
		wait_ms = -1;
	if (wait_ms == 0)
		return;
	if (fflush(copy->half[1]) != 0) {
		copy->write_error = errno;
		return;
	}
	while (poll(&wake, 1, wait_ms) < 0 && errno == EINTR)
		;
}

static void *sender(void *argument)
{
	struct copy *copy = argument;
	char *block = malloc(WSPIPE_BLOCK);

	if (!block)
		copy->input_error = errno;
	copy->input_fd = open_input();
	while (block && !copy->input->ended && wait_for_input(copy) && send_block(copy, block))
		;
	free(block);
	if (copy->input->ended && copy->write_error == 0)
		hold_open(copy);
	finish_sending(copy);
	set_current(NULL);
	if (copy->input_fd != STDIN_FILENO)
		close(copy->input_fd);
	close(copy->done[1]);
	return NULL;
}

/* --- the receiver --- */

static bool write_all(int fd, const char *data, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, data, size);
		if (n < 0 && errno == EAGAIN)
			poll(&(struct pollfd){ .fd = fd, .events = POLLOUT }, 1, -1);
		else if (n < 0 && errno != EINTR)
			return false;
		if (n > 0) {
			data += n;
			size -= (size_t)n;
		}
	}
	return true;
}

static void receive(struct copy *copy, struct wspipe_verdict *verdict)
{
	char *block = malloc(WSPIPE_BLOCK);
	bool terminal = isatty(STDOUT_FILENO);
	ssize_t size = -1;

	while (block && (size = ws_read_some(copy->half[0], block, WSPIPE_BLOCK)) > 0) {
		wspipe_count_received((size_t)size);
		if (terminal ? wspipe_terminal_write(block, (size_t)size) :
		    write_all(STDOUT_FILENO, block, (size_t)size))
			continue;
		wspipe_verdict_set(verdict, errno, "standard output", NULL);
		verdict->fatal = true;
		break;
	}
	if (!block)
		wspipe_verdict_set(verdict, errno, "", NULL);
	else if (size < 0)
		wspipe_explain_read(copy->half[0], errno, verdict);
	if (terminal)
		wspipe_terminal_end();
	if (verdict->broken)
		atomic_store(&copy->failed, true);
	free(block);
}

/*
 * The sender ends soon in any case but one: it is writing to a peer that takes nothing, and standard output is broken.
 * There is no use in waiting for such a peer, and ending the process cuts the connection, which the peer can't take for
 * a good end.
 */
static void wait_for_sender(struct copy *copy, pthread_t thread, const struct wspipe_verdict *verdict)
{
	struct pollfd done = { .fd = copy->done[0], .events = POLLIN };

	set_current(NULL);
	close(copy->wake[1]);
	if (verdict->fatal && poll(&done, 1, copy->config->options.close_timeout_ms) == 0) {
		wspipe_report(verdict, false);
		wspipe_say_exit(WSPIPE_BROKEN, 0);
		_exit(WSPIPE_BROKEN);
	}
	pthread_join(thread, NULL);
}

static void sum_up(struct copy *copy, struct wspipe_verdict *verdict)
{
	if (copy->input_error != 0) {
		/* The cause of all that followed. */
		verdict->fatal = true;
		verdict->broken = false;
		wspipe_verdict_set(verdict, copy->input_error, "standard input", NULL);
	}
	if (copy->write_error != 0 && !wspipe_cut_short(copy->write_error))
		wspipe_explain_write(copy->half[0], copy->write_error, verdict);
}

static bool open_pipes(struct copy *copy)
{
	if (pipe2(copy->wake, O_CLOEXEC) != 0)
		return false;
	if (pipe2(copy->done, O_CLOEXEC) == 0)
		return true;
	close(copy->wake[0]);
	close(copy->wake[1]);
	return false;
}

void wspipe_copy(const struct wspipe_config *config, struct wspipe_input *input, FILE *half[2],
    struct wspipe_verdict *verdict)
{
	struct copy copy = { .config = config, .input = input, .half = { half[0], half[1] } };
	pthread_t thread;
	int error;

	wspipe_note_peer(half[0], verdict);
	if (!open_pipes(&copy)) {
		wspipe_verdict_set(verdict, errno, "", NULL);
		wspipe_turn_away(half, 1011, NULL, verdict);
		return;
	}
	set_current(&copy);
	error = pthread_create(&thread, NULL, sender, &copy);
	if (error == 0) {
		receive(&copy, verdict);
		wait_for_sender(&copy, thread, verdict);
		sum_up(&copy, verdict);
	} else {
		wspipe_verdict_set(verdict, error, "", NULL);
		ws_shutdown(half[1], 1011, NULL);
		set_current(NULL);
		close(copy.wake[1]);
		close(copy.done[1]);
	}
	close(copy.wake[0]);
	close(copy.done[0]);
	wspipe_close_halves(half, verdict);
}

/* --- echo --- */

/* Returns 0 or an errno. */
static int echo_block(FILE *half[2], const char *block, size_t size)
{
	wspipe_count_received(size);
	if (fwrite(block, 1, size, half[1]) != size || fflush(half[1]) != 0)
		return errno;
	wspipe_count_sent(size);
	return 0;
}

void wspipe_echo(const struct wspipe_config *config, FILE *half[2], struct wspipe_verdict *verdict)
{
	char *block = malloc(WSPIPE_BLOCK);
	ssize_t size = -1;
	int error = 0;

	wspipe_note_peer(half[0], verdict);
	while (block && (size = ws_read_some(half[0], block, WSPIPE_BLOCK)) > 0) {
		if (error == 0)
			error = echo_block(half, block, (size_t)size);
		if (error != 0 && !wspipe_cut_short(error))
			break;
	}
	if (!block)
		wspipe_verdict_set(verdict, errno, "", NULL);
	else if (error != 0 && !wspipe_cut_short(error))
		wspipe_explain(half[0], error, verdict);
	else if (size < 0)
		wspipe_explain_read(half[0], errno, verdict);
	ws_shutdown(half[1], verdict->broken ? 1011 : config->close_code,
	    verdict->broken ? NULL : config->close_reason);
	free(block);
	wspipe_close_halves(half, verdict);
}
