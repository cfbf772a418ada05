/* SPDX-License-Identifier: 0BSD */
/*
 * libpng: png_init_io, to read and to write.
 *
 * It wants each piece whole, and else calls its error handler with "Read Error". The last byte of an image is enough: a
 * stream cut right behind it shows only in fclose(3).
 */
#include <png.h>

#include "legacy.h"

#define WIDTH 32

static const char shades[] = " .:-=+*#";

/* libpng's way out of an error is a longjmp(3): what is changed behind setjmp(3) is in other functions. */
static void print_rows(png_struct *png, png_info *info, FILE *out)
{
	png_byte row[WIDTH];

	png_read_info(png, info);
	if (png_get_rowbytes(png, info) != WIDTH)
		png_error(png, "not the kind of image expected");
	for (png_uint_32 y = 0; y < png_get_image_height(png, info); y++) {
		png_read_row(png, row, NULL);
		for (int x = 0; x < WIDTH; x++)
			putc(shades[row[x] >> 5], out);
		putc('\n', out);
	}
	png_read_end(png, NULL);
}

static enum verdict read_png(FILE *in, FILE *out)
{
	png_struct *png = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
	png_info *info = png_create_info_struct(png);

	if (setjmp(png_jmpbuf(png)) != 0) {
		png_destroy_read_struct(&png, &info, NULL);
		return REFUSED;
	}
	png_init_io(png, in);
	print_rows(png, info, out);
	png_destroy_read_struct(&png, &info, NULL);
	return WHOLE;
}

static void write_rows(png_struct *png, png_info *info, int rows)
{
	png_byte row[WIDTH];

	png_set_IHDR(png, info, WIDTH, (png_uint_32)rows, 8, PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE,
	    PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
	png_write_info(png, info);
	for (int y = 0; y < rows; y++) {
		for (int x = 0; x < WIDTH; x++)
			row[x] = (png_byte)(x * y * 7 + x);
		png_write_row(png, row);
	}
	png_write_end(png, NULL);
}

static int write_png(FILE *out, int records)
{
	png_struct *png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
	png_info *info = png_create_info_struct(png);

	if (setjmp(png_jmpbuf(png)) != 0) {
		png_destroy_write_struct(&png, &info);
		return -1;
	}
	png_init_io(png, out);
	write_rows(png, info, records);
	png_destroy_write_struct(&png, &info);
	return 0;
}

const struct consumer consumer = {
	.read = read_png, .write = write_png,
	.at_cut = REFUSED | WHOLE, .knows_its_end = true,
};
