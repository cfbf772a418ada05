/* SPDX-License-Identifier: 0BSD */
/*
 * packets URL: waits for one connection and prints each packet of the capture that comes over it, as it comes:
 *
 *	tshark -q -i lo -w - | wspipe ws://HOST:PORT/
 *
 * libpcap takes both formats, that of tcpdump -U -w - and that of tshark. Status 0 means that the capture came whole.
 */
#include <ctype.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <wsfile.h>

#define SHOWN 32			/* bytes of a packet's end */

static void print_packet(u_char *user, const struct pcap_pkthdr *head, const u_char *data)
{
	bpf_u_int32 first = head->caplen > SHOWN ? head->caplen - SHOWN : 0;

	(void)user;
	printf("%ld.%06ld %5u bytes: ", (long)head->ts.tv_sec, (long)head->ts.tv_usec, head->len);
	for (bpf_u_int32 i = first; i < head->caplen; i++)
		putchar(isprint(data[i]) ? data[i] : '.');
	putchar('\n');
	fflush(stdout);
}

static int print_packets(FILE *in)
{
	char problem[PCAP_ERRBUF_SIZE];
	pcap_t *pcap = pcap_fopen_offline(in, problem);
	int result;

	if (pcap == NULL) {
		fprintf(stderr, "packets: %s\n", problem);
		fclose(in);
		return 1;
	}
	result = pcap_loop(pcap, -1, print_packet, NULL);
	if (result != 0)
		fprintf(stderr, "packets: %s\n", pcap_geterr(pcap));
	pcap_close(pcap);		/* and the stream */
	return result != 0;
}

int main(int argc, char *argv[])	/* usage: packets URL */
{
	struct ws_listener *listener = argc == 2 ? ws_listen(argv[1], NULL) : NULL;
	FILE *in;
	int status = 1;

	if (listener == NULL) {
		fprintf(stderr, "packets: %s\n", argc == 2 ? ws_last_error()->text : "usage: packets URL");
		return 2;
	}
	printf("listening on %s\n", ws_listener_url(listener));
	fflush(stdout);
	in = ws_accept(listener, "r");
	if (in != NULL)
		status = print_packets(in);
	ws_listener_close(listener);
	return status;
}
