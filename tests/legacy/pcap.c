/* SPDX-License-Identifier: 0BSD */
/*
 * libpcap: pcap_fopen_offline and pcap_dump_fopen. See packets.c for packets as they are captured.
 *
 * A packet is there when its last byte is. A cut is an error with the text "Connection reset by peer".
 */
#include <pcap/pcap.h>

#include "legacy.h"

static enum verdict read_pcap(FILE *in, FILE *out)
{
	char problem[PCAP_ERRBUF_SIZE];
	pcap_t *pcap = pcap_fopen_offline(in, problem);
	struct pcap_pkthdr *head;
	const u_char *data;
	int result;

	if (pcap == NULL) {
		fprintf(stderr, "pcap_fopen_offline: %s\n", problem);
		fclose(in);		/* it did not take the stream over */
		return REFUSED;
	}
	while ((result = pcap_next_ex(pcap, &head, &data)) == 1)
		fprintf(out, "%ld.%06ld: %u bytes, the last is %02x\n", (long)head->ts.tv_sec,
		    (long)head->ts.tv_usec, head->len, data[head->caplen - 1]);
	if (result == PCAP_ERROR)
		fprintf(stderr, "pcap_next_ex: %s\n", pcap_geterr(pcap));
	pcap_close(pcap);		/* closes the stream, too, and keeps to itself what fclose(3) returns */
	return result == PCAP_ERROR_BREAK ? WHOLE : REFUSED;
}

static int write_pcap(FILE *out, int records)
{
	pcap_t *pcap = pcap_open_dead(DLT_RAW, 65535);
	pcap_dumper_t *dumper = pcap_dump_fopen(pcap, out);
	u_char data[64] = { 0x45, 0 };
	int result = -1;

	if (dumper == NULL)
		goto out;
	for (int i = 0; i < records; i++) {
		struct pcap_pkthdr head = { .ts = { 1700000000 + i, i }, .caplen = 20 + (bpf_u_int32)i % 44 };

		head.len = head.caplen;
		data[head.caplen - 1] = (u_char)i;
		pcap_dump((u_char *)dumper, &head, data);
	}
	/*
	 * pcap_dump_close(3) would close the stream and say nothing of what came of it. The stream is ours as long as
	 * that is not called, and fclose(3) of it is the receipt.
	 */
	result = pcap_dump_flush(dumper);
out:
	pcap_close(pcap);
	return result;
}

const struct consumer consumer = {
	.read = read_pcap, .write = write_pcap,
	.at_cut = REFUSED, .live = true, .keeps_records = true, .closes = true,
};
