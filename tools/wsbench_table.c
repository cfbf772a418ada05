/* SPDX-License-Identifier: 0BSD */
/* Medians over the rounds; a ratio is the median of the ratios within a round, as both sides met the same weather. */
#include "wsbench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct bench_table {
	const struct bench_group *group;
	const struct bench_class *class;
	const struct settings *settings;
	struct bench_row rows[MAX_ROWS];
	size_t row_count, column_count;
	double *values;			/* by row, side, column, round */
};

void bench_row_set(struct bench_row *row, unsigned variant, size_t number, const char *key, const char *title)
{
	*row = (struct bench_row){ .variant = variant, .number = number };
	snprintf(row->key, sizeof row->key, "%s", key);
	snprintf(row->title, sizeof row->title, "%s", title);
}

struct bench_table *bench_table_new(const struct bench_group *group, const struct bench_class *class,
    const struct settings *settings)
{
	struct bench_table *table = bench_allocate(1, sizeof *table);

	table->group = group;
	table->class = class;
	table->settings = settings;
	table->row_count = group->rows(settings, class, table->rows);
	while (table->column_count < MAX_COLUMNS && group->columns[table->column_count].key)
		table->column_count++;
	table->values = bench_allocate(table->row_count * SIDES * table->column_count * settings->rounds,
	    sizeof *table->values);
	return table;
}

void bench_table_free(struct bench_table *table)
{
	free(table->values);
	free(table);
}

/* Those of all rounds. */
static double *values_of(struct bench_table *table, size_t row, int side, size_t column)
{
	return table->values + ((row * SIDES + (size_t)side) * table->column_count + column) * table->settings->rounds;
}

void bench_table_run(struct bench_table *table, unsigned round)
{
	for (size_t row = 0; row < table->row_count; row++)
		for (int side = 0; side < SIDES; side++) {
			double values[MAX_COLUMNS];
			for (size_t i = 0; i < MAX_COLUMNS; i++)
				values[i] = NAN;
			table->group->measure(table->settings, table->class->side[side], &table->rows[row], values);
			for (size_t i = 0; i < table->column_count; i++)
				values_of(table, row, side, i)[round] = values[i];
		}
}

/* --- medians; they leave the order of the rounds as it is --- */

static double median_of(const double *values, unsigned rounds)
{
	double sorted[MAX_ROUNDS];

	memcpy(sorted, values, rounds * sizeof *values);
	return bench_median(sorted, rounds);
}

static double median(struct bench_table *table, size_t row, int side, size_t column)
{
	return median_of(values_of(table, row, side, column), table->settings->rounds);
}

static double ratio(struct bench_table *table, size_t row, size_t column)
{
	const double *theirs = values_of(table, row, THEIRS, column), *ours = values_of(table, row, OURS, column);
	double ratios[MAX_ROUNDS];

	for (unsigned i = 0; i < table->settings->rounds; i++)
		ratios[i] = theirs[i] > 0 ? ours[i] / theirs[i] : NAN;
	return median_of(ratios, table->settings->rounds);
}

/* --- for people: a line a row where there is room, else one a transport --- */

#define WIDE_COLUMNS 2

static void print_value(double value, int decimals)
{
	if (isnan(value))
		printf(" %12s", "-");
	else
		printf(" %12.*f", decimals, value);
}

/* A single column stands below the end of a title that is longer. */
static void print_indent(const struct bench_table *table)
{
	if (table->column_count < WIDE_COLUMNS)
		printf("%13s", "");
}

static void print_headings(const struct bench_table *table)
{
	print_indent(table);
	for (size_t i = 0; i < table->column_count; i++)
		printf(" %12s", table->group->columns[i].heading);
}

static void print_wide(struct bench_table *table)
{
	const struct bench_column *columns = table->group->columns;
	const int width = 13 * WIDE_COLUMNS;

	printf("%-28s%*s%*s\n%-28s", "", width, table->class->side[THEIRS]->title, width,
	    table->class->side[OURS]->title, "");
	print_headings(table);
	print_headings(table);
	printf(" %7s\n", "ratio");
	for (size_t row = 0; row < table->row_count; row++) {
		printf("%-28s", table->rows[row].title);
		for (int side = 0; side < SIDES; side++) {
			print_indent(table);
			for (size_t i = 0; i < table->column_count; i++)
				print_value(median(table, row, side, i), columns[i].decimals);
		}
		for (size_t i = 0; i < table->column_count; i++)
			if (columns[i].ratio && !isnan(ratio(table, row, i)))
				printf(" %7.2f", ratio(table, row, i));
		printf("\n");
	}
}

static void print_high(struct bench_table *table)
{
	const struct bench_column *columns = table->group->columns;

	printf("%-28s%-22s", "", "");
	print_headings(table);
	printf("\n");
	for (size_t row = 0; row < table->row_count; row++) {
		for (int side = 0; side < SIDES; side++) {
			printf("%-28s%-22s", side == THEIRS ? table->rows[row].title : "",
			    table->class->side[side]->title);
			for (size_t i = 0; i < table->column_count; i++)
				print_value(median(table, row, side, i), columns[i].decimals);
			printf("\n");
		}
		printf("%-28s%-22s", "", "ratio");
		for (size_t i = 0; i < table->column_count; i++)
			if (columns[i].ratio)
				print_value(ratio(table, row, i), 2);
			else
				printf(" %12s", "");
		printf("\n");
	}
}

void bench_table_print(struct bench_table *table)
{
	printf("\n%s: %s\n", table->group->title, table->class->title);
	if (table->column_count <= WIDE_COLUMNS)
		print_wide(table);
	else
		print_high(table);
}

/* --- for programs --- */

static void print_number(double value)
{
	if (isnan(value))
		printf("null");
	else
		printf("%.6g", value);
}

static void print_side(struct bench_table *table, size_t row, int side)
{
	printf("\"%s\": {", table->class->side[side]->key);
	for (size_t i = 0; i < table->column_count; i++) {
		printf("%s\"%s\": ", i > 0 ? ", " : "", table->group->columns[i].key);
		print_number(median(table, row, side, i));
	}
	printf("}");
}

void bench_table_print_json(struct bench_table *table)
{
	bool first = true;

	printf("\"%s\": {", table->group->key);
	for (size_t row = 0; row < table->row_count; row++) {
		printf("%s\"%s\": {", row > 0 ? ", " : "", table->rows[row].key);
		print_side(table, row, THEIRS);
		printf(", ");
		print_side(table, row, OURS);
		printf(", \"ratio\": {");
		first = true;
		for (size_t i = 0; i < table->column_count; i++) {
			if (!table->group->columns[i].ratio)
				continue;
			printf("%s\"%s\": ", first ? "" : ", ", table->group->columns[i].key);
			print_number(ratio(table, row, i));
			first = false;
		}
		printf("}}");
	}
	printf("}");
}
