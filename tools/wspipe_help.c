/* SPDX-License-Identifier: 0BSD */
#include <stdio.h>
#include <string.h>

#include "wspipe_args.h"
#include "wspipe_print.h"

/* Where the second column begins. Every line ends before the 80th. */
#define COLUMN 31

static const char usage[] =
    "usage: wspipe [options] URL      standard input -> WebSocket -> standard output\n"
    "       wspipe -l [options] URL   listen on URL, and serve one connection\n"
    "URL is ws://HOST[:PORT][/PATH], wss:// for TLS, or ws+unix:///FILE[:/PATH].\n";

static void print_option(const struct wspipe_option *option, const char *bold, const char *plain)
{
	char text[64];
	int width, letter = option->opt < 256 ? option->opt : 0;
	const char *argument = option->argument;

	if (!option->name)
		width = snprintf(text, sizeof text, "  -%c %s", letter, argument);
	else
		width = snprintf(text, sizeof text, "  %c%c%c --%s%s%s", letter ? '-' : ' ', letter ? letter : ' ',
		    letter ? ',' : ' ', option->name, argument && *argument != '[' ? " " : "",
		    argument ? argument : "");
	printf("%s%s%s%*s %s\n", bold, text, plain, COLUMN - width, "", option->help);
}

static void print_group(enum wspipe_group_id group, bool common)
{
	bool colored = wspipe_is_colored(stdout), first = true;
	const char *bold = colored ? "\033[1m" : "", *plain = colored ? "\033[m" : "";

	for (size_t i = 0; i < wspipe_option_count; i++) {
		const struct wspipe_option *option = &wspipe_options[i];
		if (option->group != group || (common && !option->common))
			continue;
		if (first)
			printf("%s%s:%s\n", colored ? "\033[1;4m" : "", wspipe_groups[group].title, plain);
		first = false;
		print_option(option, bold, plain);
	}
}

static void print_common(void)
{
	fputs(usage, stdout);
	for (size_t i = 0; i < WSPIPE_GROUPS; i++)
		print_group((enum wspipe_group_id)i, true);
	printf("More: man wspipe; --help=all");
	for (size_t i = 0; i < WSPIPE_GROUPS; i++)
		printf("|%s", wspipe_groups[i].name);
	printf("\nExample: tar c . | wspipe --progress --bearer-file token wss://example.org/in\n");
}

static void print_all(void)
{
	fputs(usage, stdout);
	for (size_t i = 0; i < WSPIPE_GROUPS; i++)
		print_group((enum wspipe_group_id)i, false);
	printf("SIZE is bytes, or with K, M, G or T. A default stands in parentheses.\n"
	       "SIGHUP has -l read its certificates again; SIGTERM stops it gracefully.\n");
}

bool wspipe_help_print(const char *topic)
{
	if (!topic) {
		print_common();
		return true;
	}
	if (strcmp(topic, "all") == 0) {
		print_all();
		return true;
	}
	for (size_t i = 0; i < WSPIPE_GROUPS; i++) {
		if (strcmp(topic, wspipe_groups[i].name) != 0)
			continue;
		print_group((enum wspipe_group_id)i, false);
		return true;
	}
	return false;
}
