/* SPDX-License-Identifier: 0BSD */
/*
 * The hand-over of receiving between the helper thread and the program's reader (src/stream_private.h, "The owner of
 * receiving"), as a model for spin(1): the protocol without the bytes, but for any order of steps and any moment at
 * which time passes. tests/test_handover.c explores the code itself, within bounds; this has none but the peer's script.
 *
 *	spin -a handover.pml && cc -O2 -DNFAIR=3 -o pan pan.c && ./pan -N safe && ./pan -a -f -N ends
 *
 * test_handover_model.py runs that, the second with one frame, and shows that it fails where the model is broken.
 *
 * A section under the stream lock is one atomic step. What is checked: two never receive, and only the owner does; what
 * is read is what was sent, in order, up to the Close; nobody waits for ever (an invalid end state for spin); and, if
 * everybody is given time, the connection comes to its end though the program is elsewhere as long as it likes.
 */
#ifndef DATAS
#define DATAS	2			/* data frames that the peer sends */
#endif
#ifndef PINGS
#define PINGS	1
#endif
#define ROOM	1			/* data frames that the ring holds */
#ifndef LEAVES
#define LEAVES	false			/* a read may end without anything, and one may be non-blocking; once each */
#endif

mtype:frame = { DATA, PING, CLOSE };
mtype:who = { HELPER, ASKED, READER };

/* The connection. */
chan sock = [3] of { mtype:frame, byte };	/* from the peer, in the kernel */
bool peer_ended;			/* TCP's end is behind that */
bool our_close, our_end;		/* what the peer got from us */
byte pongs;

/* The stream; names as in struct wsf_stream. */
chan ring = [ROOM] of { byte };
mtype:who owner = HELPER;
bool reading, watched, paused, discarding, close_received, gone;
bool read_since;			/* pulls != pulls_seen */
bool look_due;				/* the time is look_ns, or later */
bool lingered;				/* linger_ms have passed since the Close */

/* An event, as src/wait.c has it. Of its count only whether it changed since the one who waits has looked. */
bool changed, asleep;
byte waiters;

/* The service: commands to the helper, what it asks of its poller. */
bool cmd_read, cmd_hand_over, cmd_timer;
bool flow = true;			/* to be told of what can be read */
bool tell_over = true;			/* to be told when neither direction works any more */
bool timer_on, timer_due;

/* For the checks. */
byte receivers;
byte pings;
bool peer_closed;			/* the peer's Close is sent */
bool program_done;

#define readable	(len(sock) > 0 || peer_ended)
#define hung_up		(peer_ended && our_end)

inline notify()
{
	/* Always under the lock here. */
	changed = true;
	if
	:: waiters > 0 -> asleep = false
	:: else
	fi
}

/*
 * One receive by the one who owns receiving: room, the system call, the commit, the answer are steps of their own. The
 * reader's waits for something. result: 1 = something came, 0 = TCP's end, 2 = nothing there or paused.
 */
inline receive(me, result)
{
	atomic {
		result = 1;
		if
		:: !discarding && len(ring) == ROOM -> paused = true; result = 2
		:: else
		fi
	}
	if
	:: result == 2
	:: else ->
		atomic {
			assert(receivers == 0);
			assert((me == READER) == (owner == READER));
			receivers++
		}
		atomic {
			me == HELPER || readable ->
			if
			:: len(sock) > 0 -> sock?got, number
			:: len(sock) == 0 && peer_ended -> result = 0
			:: len(sock) == 0 && !peer_ended -> result = 2
			fi
		}
		atomic {
			receivers--;
			if
			:: result == 1 && got == DATA && !discarding ->
				if
				:: len(ring) == 0 -> ring!number; notify()
				:: len(ring) > 0 -> ring!number
				fi
			:: else
			fi
		}
		if
		:: result == 1 && got == PING -> pongs++
		:: result == 1 && got == CLOSE -> atomic { close_received = true; notify() }
		:: else
		fi
	fi;
	got = DATA;
	number = 0
}

/* --- the helper: wsf_stream_timer, wsf_stream_readable, and the service's loop --- */

/* The idle reader's deadline, and the lingering Close. */
inline timer()
{
	atomic {
		timer_on = false;
		timer_due = false;
		if
		:: close_received && lingered -> our_close = true
		:: close_received && !our_close && !lingered -> timer_on = true
		:: else
		fi;
		if
		:: owner != READER || gone
		:: else ->
			if
			:: !look_due -> timer_on = true
			:: look_due && read_since -> read_since = false; look_due = false; timer_on = true
			:: look_due && !read_since && reading -> watched = false
			:: look_due && !read_since && !reading -> owner = HELPER; cmd_read = true
			fi
		fi
	}
}

inline stream_readable()
{
	atomic {
		result = 1;
		if
		:: owner == READER -> result = 2
		:: else
		fi
	}
	if
	:: result == 2 -> flow = false
	:: else ->
		do
		:: result == 1 && turns < 2 -> turns++; receive(HELPER, result)
		:: else -> break
		od;
		turns = 0;
		timer();
		atomic {
			if
			:: paused -> flow = false
			:: else
			fi;
			if
			/* Both Closes and the end: over. While our side still answers, reading is only paused. */
			:: result == 0 && our_close -> over = true
			:: result == 0 && !our_close -> paused = true; flow = false
			:: else
			fi
		}
	fi;
	result = 0
}

active proctype Helper()
{
	mtype:frame got = DATA;
	byte number, result, turns;
	bool do_read, do_hand_over, do_timer, can_read, read_first, due, hang, over;

end_loop:
	do
	:: gone -> break
	:: else ->
		/* Timers come first. What the poller reports may be out of date when its turn comes, in either order. */
		atomic {
			cmd_read || cmd_hand_over || cmd_timer || (flow && readable) || timer_due || (tell_over && hung_up) ->
			do_read = cmd_read; cmd_read = false;
			do_hand_over = cmd_hand_over; cmd_hand_over = false;
			do_timer = cmd_timer; cmd_timer = false;
			can_read = flow && readable;
			if
			:: can_read && (do_read || do_hand_over || do_timer) -> read_first = true
			:: true
			fi;
			due = timer_due;
			hang = tell_over && hung_up
		}
		do
		:: due -> due = false; timer()
		:: !due && can_read && (read_first || !(do_read || do_hand_over || do_timer)) ->
			can_read = false;
			read_first = false;
			stream_readable()
		:: !due && !read_first && do_read -> do_read = false; flow = true; tell_over = true
		/* Behind READ: whoever asks for this asks later. */
		:: !due && !read_first && !do_read && do_hand_over ->
			do_hand_over = false;
			atomic {
				if
				/* The reader has left meanwhile. */
				:: owner == ASKED && !gone && !reading -> owner = HELPER
				:: owner == ASKED && !gone && reading ->
					owner = READER; watched = true; read_since = false; look_due = false;
					notify();
					result = 1
				:: else
				fi
			}
			if
			:: result == 1 -> result = 0; flow = false; tell_over = false; timer()
			:: else
			fi
		:: !due && !read_first && !do_read && !do_hand_over && do_timer -> do_timer = false; timer()
		:: hang && !due && !can_read && !do_read && !do_hand_over && !do_timer ->
			hang = false;
			over = over || !flow
		:: over -> break
		:: !do_read && !do_hand_over && !do_timer && !can_read && !due && !hang && !over -> break
		od;
		if
		:: over ->
			/* wsf_stream_gone: what is left is for the reader. */
			atomic {
				do_read = false; do_hand_over = false; do_timer = false; can_read = false;
				due = false; hang = false; read_first = false;
				gone = true;
				owner = (len(sock) > 0 -> READER : HELPER);
				notify()
			}
		:: else
		fi
	od
}

/* --- the program: reads to the end, elsewhere between reads as long as it likes; then closes --- */

inline wait_event()
{
	/* A waiter counts itself first; then the kernel compares, as one step. */
	waiters++;
	atomic {
		if
		:: !changed -> asleep = true
		:: else
		fi
	}
	!asleep;
	waiters--
}

/* Until something is in the ring (state 1) or the end is known (state 0). */
inline wait_bytes()
{
	do
	:: atomic {
		if
		:: len(ring) > 0 -> state = 1
		:: len(ring) == 0 && (close_received || (gone && owner == HELPER)) -> state = 0
		:: else -> state = 2
		fi;
		changed = false;
		ask = state == 2 && owner == HELPER;
		resume = state == 2 && owner != READER && paused && !peer_ended;
		mine = owner == READER;
		if
		:: ask -> owner = ASKED
		:: else
		fi;
		if
		:: resume -> paused = false
		:: else
		fi
	   }
	   if
	   :: state != 2 -> break
	   :: state == 2 && !mine ->
		if
		:: resume -> cmd_read = true
		:: else
		fi;
		if
		:: ask -> cmd_hand_over = true
		:: else
		fi;
		wait_event();
		/* A signal or a time limit. */
		if
		:: LEAVES && !gave_up -> gave_up = true; state = 3; break
		:: true
		fi
	   :: state == 2 && mine ->
		receive(READER, result);
		/* What the Close starts needs the helper's timer. */
		if
		:: close_received && !gone -> cmd_timer = true
		:: else
		fi
	   fi
	od
}

active proctype Program()
{
	mtype:frame got = DATA;
	byte number, result, state, expected = 1;
	bool ask, resume, mine, watch, gave_up, back;

	do
	:: atomic {
		/* A read that may not block leaves receiving to the helper. */
		if
		:: LEAVES && owner == READER && !gone && !back -> owner = HELPER; back = true; cmd_read = true
		:: true
		fi;
		reading = true
	   };
		wait_bytes();
		atomic {
			if
			:: state == 1 -> ring?number; assert(number == expected); expected++; number = 0
			:: else
			fi;
			reading = false;
			read_since = owner == READER;
			watch = owner == READER && !watched && !gone;
			watched = watched || watch;
			resume = paused && !peer_ended;
			if
			:: resume -> paused = false
			:: else
			fi
		}
		if
		:: watch -> cmd_timer = true
		:: else
		fi;
		if
		:: resume && owner != READER -> cmd_read = true
		:: else
		fi;
		if
		:: state == 0 -> break
		:: state == 0 && !gone -> our_close; break
		:: state == 1 || state == 3	/* reads again at once */
		/* Or is elsewhere, until the ring is full or the peer's Close is answered: somebody else has to. */
		:: state == 1 -> paused || (peer_closed && our_close)
		fi
	od;
	assert(expected == DATAS + 1);
	/* wsf_stream_close: shutdown, stop_reading, wait_gone. */
	our_close = true;
	atomic {
		discarding = true;
		resume = !gone && (paused || owner != HELPER);
		paused = paused && !resume;
		if
		:: !gone -> owner = HELPER
		:: else
		fi
	}
	if
	:: resume -> cmd_read = true
	:: else
	fi;
	gone;
	program_done = true
}

/* --- the peer, and time --- */

active proctype Peer()
{
	byte sent;

	do
	:: sent < DATAS -> sock!DATA(sent + 1); sent++
	:: pings < PINGS -> sock!PING(0); pings++; pongs == pings
	:: sent == DATAS -> break
	od;
	sock!CLOSE(0);
	peer_closed = true;
	our_close;
	/* We are the server: our end comes first. */
	our_end = true;
	peer_ended = true
}

/* Moments come: each by itself, so that fairness brings all of them. */
active proctype LookTime()
{
end_time:
	do
	:: owner == READER && !look_due -> look_due = true
	od
}

active proctype LingerTime()
{
end_time:
	do
	:: close_received && !our_close && !lingered -> lingered = true
	od
}

active proctype TimerTime()
{
end_time:
	do
	:: timer_on && !timer_due -> timer_due = true
	od
}

ltl safe { [] (receivers <= 1) }
ltl ends { <> (program_done && gone) }
