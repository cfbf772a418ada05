/* SPDX-License-Identifier: 0BSD */
/*
 * expat: the usual loop of fread and XML_ParseBuffer.
 *
 * The loop waits until its buffer is full or the stream ends; where elements have to be seen as they come, a loop of
 * fgets(3), or of ws_read_some(3), does that. What expat thinks of a cut text is not asked: ferror(3) is, before the
 * last call.
 */
#include <expat.h>
#include <string.h>

#include "legacy.h"

static void XMLCALL start(void *out, const XML_Char *name, const XML_Char **attributes)
{
	fprintf(out, "%s", name);
	for (int i = 0; attributes[i] != NULL; i += 2)
		fprintf(out, " %s=%s", attributes[i], attributes[i + 1]);
	fprintf(out, "\n");
}

static enum verdict read_xml(FILE *in, FILE *out)
{
	XML_Parser parser = XML_ParserCreate(NULL);
	enum verdict verdict = WHOLE;
	size_t size = 1;

	XML_SetUserData(parser, out);
	XML_SetStartElementHandler(parser, start);
	while (size > 0 && verdict == WHOLE) {
		void *buffer = XML_GetBuffer(parser, 512);

		size = fread(buffer, 1, 512, in);
		if (XML_ParseBuffer(parser, (int)size, size == 0 && !ferror(in)) == XML_STATUS_ERROR) {
			fprintf(stderr, "line %lu: %s\n", (unsigned long)XML_GetCurrentLineNumber(parser),
			    XML_ErrorString(XML_GetErrorCode(parser)));
			verdict = REFUSED;
		}
	}
	XML_ParserFree(parser);
	return ferror(in) ? CUT : verdict;
}

static int write_xml(FILE *out, int records)
{
	fprintf(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<cities>\n");
	for (int i = 0; i < records; i++)
		fprintf(out, "\t<city name='Århus &amp; 東京' number='%d'/>\n", i);
	fprintf(out, "</cities>\n");
	return ferror(out) ? -1 : 0;
}

const struct consumer consumer = {
	.read = read_xml, .write = write_xml,
	.at_cut = CUT, .keeps_records = true,
};
