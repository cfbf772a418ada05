/* SPDX-License-Identifier: 0BSD */
/*
 * libxml2: xmlReaderForIO over fread, and xmlDocFormatDump.
 *
 * A callback that reads returns -1 where ferror(3) is set, and the reader fails then. One that returned what fread(3)
 * does would have the reader guess from the text.
 */
#include <string.h>

#include <libxml/tree.h>
#include <libxml/xmlreader.h>

#include "legacy.h"

static int read_some(void *in, char *buffer, int size)
{
	size_t got = fread(buffer, 1, (size_t)size, in);

	return got == 0 && ferror(in) ? -1 : (int)got;
}

static enum verdict read_xml(FILE *in, FILE *out)
{
	xmlTextReaderPtr reader = xmlReaderForIO(read_some, NULL, in, NULL, NULL, 0);
	int more = -1;

	while (reader != NULL && (more = xmlTextReaderRead(reader)) == 1) {
		xmlChar *name;

		if (xmlTextReaderNodeType(reader) != XML_READER_TYPE_ELEMENT)
			continue;
		name = xmlTextReaderGetAttribute(reader, BAD_CAST "name");
		fprintf(out, "%s %s\n", (const char *)xmlTextReaderConstLocalName(reader),
		    name != NULL ? (char *)name : "");
		xmlFree(name);
	}
	xmlFreeTextReader(reader);
	return more < 0 ? REFUSED : WHOLE;
}

static int write_xml(FILE *out, int records)
{
	xmlDocPtr document = xmlNewDoc(BAD_CAST "1.0");
	xmlNodePtr cities = xmlNewNode(NULL, BAD_CAST "cities");
	int size;

	xmlDocSetRootElement(document, cities);
	for (int i = 0; i < records; i++)
		xmlNewProp(xmlNewChild(cities, NULL, BAD_CAST "city", NULL), BAD_CAST "name",
		    BAD_CAST (i % 2 == 0 ? "Århus & 東京" : "<São Paulo>"));
	document->encoding = xmlStrdup(BAD_CAST "UTF-8");
	size = xmlDocFormatDump(out, document, 1);
	xmlFreeDoc(document);
	return size < 0 ? -1 : 0;
}

const struct consumer consumer = {
	.read = read_xml, .write = write_xml,
	.at_cut = REFUSED,
};
