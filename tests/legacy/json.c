/* SPDX-License-Identifier: 0BSD */
/*
 * jansson: json_loadf and json_dumpf.
 *
 * json_loadf takes a read error for the end of the text. Most often that leaves the document incomplete, and it says
 * "expected near end of file"; behind its last bracket it does not, and ferror(3) has to be asked.
 */
#include <jansson.h>

#include "legacy.h"

static enum verdict read_json(FILE *in, FILE *out)
{
	json_error_t error;
	json_t *places = json_loadf(in, 0, &error), *place;
	size_t index;

	if (places == NULL) {
		fprintf(stderr, "json_loadf: line %d: %s\n", error.line, error.text);
		return REFUSED;
	}
	json_array_foreach(places, index, place)
		fprintf(out, "%s %lld\n", json_string_value(json_object_get(place, "name")),
		    (long long)json_integer_value(json_object_get(place, "height")));
	json_decref(places);
	return ferror(in) ? CUT : WHOLE;
}

static int write_json(FILE *out, int records)
{
	json_t *places = json_array();
	int result;

	for (int i = 0; i < records; i++)
		json_array_append_new(places, json_pack("{s:s, s:i}", "name", "Zürichberg ⛰ 🚠", "height", 679 + i));
	result = json_dumpf(places, out, JSON_INDENT(1));
	json_decref(places);
	return result;
}

const struct consumer consumer = {
	.read = read_json, .write = write_json,
	.at_cut = REFUSED | CUT,
};
