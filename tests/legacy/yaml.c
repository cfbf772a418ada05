/* SPDX-License-Identifier: 0BSD */
/*
 * libyaml: yaml_parser_set_input_file and yaml_emitter_set_output_file.
 *
 * The parser asks ferror(3) by itself and fails with "input error". It reads 16 KiB at a time, and waits until they are
 * there or the stream ends: nothing of the last 16 KiB before a cut is parsed.
 */
#include <stdbool.h>
#include <string.h>
#include <yaml.h>

#include "legacy.h"

static enum verdict read_yaml(FILE *in, FILE *out)
{
	yaml_parser_t parser;
	yaml_event_t event;
	bool good = true, end = false;

	yaml_parser_initialize(&parser);
	yaml_parser_set_input_file(&parser, in);
	while (!end && (good = yaml_parser_parse(&parser, &event))) {
		if (event.type == YAML_SCALAR_EVENT)
			fprintf(out, "%s\n", (const char *)event.data.scalar.value);
		end = event.type == YAML_STREAM_END_EVENT;
		yaml_event_delete(&event);
	}
	if (!good)
		fprintf(stderr, "yaml_parser_parse: line %zu: %s\n", parser.problem_mark.line + 1, parser.problem);
	yaml_parser_delete(&parser);
	return good ? WHOLE : REFUSED;
}

static bool emit_scalar(yaml_emitter_t *emitter, const char *text)
{
	yaml_event_t event;

	return yaml_scalar_event_initialize(&event, NULL, NULL, (yaml_char_t *)text, (int)strlen(text), 1, 1,
	    YAML_ANY_SCALAR_STYLE) && yaml_emitter_emit(emitter, &event);
}

static int write_yaml(FILE *out, int records)
{
	yaml_emitter_t emitter;
	yaml_event_t event;
	bool good = yaml_emitter_initialize(&emitter);

	yaml_emitter_set_output_file(&emitter, out);
	yaml_emitter_set_unicode(&emitter, 1);
	good = good && yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING) &&
	    yaml_emitter_emit(&emitter, &event) &&
	    yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 0) && yaml_emitter_emit(&emitter, &event) &&
	    yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE) &&
	    yaml_emitter_emit(&emitter, &event);
	for (int i = 0; good && i < records; i++)
		good = emit_scalar(&emitter, i % 2 == 0 ? "Grüezi: 早上好 🌅" : "a scalar that is folded\nover two lines");
	good = good && yaml_sequence_end_event_initialize(&event) && yaml_emitter_emit(&emitter, &event) &&
	    yaml_document_end_event_initialize(&event, 0) && yaml_emitter_emit(&emitter, &event) &&
	    yaml_stream_end_event_initialize(&event) && yaml_emitter_emit(&emitter, &event);
	yaml_emitter_delete(&emitter);
	return good ? 0 : -1;
}

const struct consumer consumer = {
	.read = read_yaml, .write = write_yaml,
	.at_cut = REFUSED,
};
