/* SPDX-License-Identifier: 0BSD */
/*
 * libjpeg: jpeg_stdio_src and jpeg_stdio_dest.
 *
 * A read error is an end of file to it, and an end of file in an image a mere warning: the rest is grey. So ask
 * ferror(3), and num_warnings for files that are short. Its handler of real errors ends the program unless it is
 * replaced, as here. It reads 4 KiB at a time, and so on behind the image.
 */
#include <setjmp.h>
#include <stdio.h>

#include <jpeglib.h>

#include "legacy.h"

#define WIDTH 32

static const char shades[] = " .:-=+*#";

struct errors {
	struct jpeg_error_mgr manager;	/* first: libjpeg knows only this one */
	jmp_buf way_out;
};

static void leave(j_common_ptr jpeg)
{
	jpeg->err->output_message(jpeg);
	longjmp(((struct errors *)jpeg->err)->way_out, 1);
}

static void print_rows(struct jpeg_decompress_struct *jpeg, FILE *out)
{
	JSAMPLE row[WIDTH];
	JSAMPROW rows[1] = { row };

	jpeg_read_header(jpeg, TRUE);
	jpeg_start_decompress(jpeg);
	while (jpeg->output_width == WIDTH && jpeg->output_scanline < jpeg->output_height) {
		jpeg_read_scanlines(jpeg, rows, 1);
		for (int x = 0; x < WIDTH; x++)
			putc(shades[row[x] >> 5], out);
		putc('\n', out);
	}
	jpeg_finish_decompress(jpeg);
}

static enum verdict read_jpeg(FILE *in, FILE *out)
{
	struct jpeg_decompress_struct jpeg;
	struct errors errors;
	long warnings;

	jpeg.err = jpeg_std_error(&errors.manager);
	errors.manager.error_exit = leave;
	jpeg_create_decompress(&jpeg);
	if (setjmp(errors.way_out) != 0) {
		jpeg_destroy_decompress(&jpeg);
		return REFUSED;
	}
	jpeg_stdio_src(&jpeg, in);
	print_rows(&jpeg, out);
	warnings = errors.manager.num_warnings;
	jpeg_destroy_decompress(&jpeg);
	return ferror(in) ? CUT : warnings > 0 ? REFUSED : WHOLE;
}

static void write_rows(struct jpeg_compress_struct *jpeg, int height)
{
	JSAMPLE row[WIDTH];
	JSAMPROW rows[1] = { row };

	jpeg->image_width = WIDTH;
	jpeg->image_height = (JDIMENSION)height;
	jpeg->input_components = 1;
	jpeg->in_color_space = JCS_GRAYSCALE;
	jpeg_set_defaults(jpeg);
	jpeg_start_compress(jpeg, TRUE);
	for (int y = 0; y < height; y++) {
		for (int x = 0; x < WIDTH; x++)
			row[x] = (JSAMPLE)(x * y + x);
		jpeg_write_scanlines(jpeg, rows, 1);
	}
	jpeg_finish_compress(jpeg);
}

static int write_jpeg(FILE *out, int records)
{
	struct jpeg_compress_struct jpeg;
	struct errors errors;

	jpeg.err = jpeg_std_error(&errors.manager);
	errors.manager.error_exit = leave;
	jpeg_create_compress(&jpeg);
	if (setjmp(errors.way_out) != 0) {
		jpeg_destroy_compress(&jpeg);
		return -1;
	}
	jpeg_stdio_dest(&jpeg, out);
	write_rows(&jpeg, records);
	jpeg_destroy_compress(&jpeg);
	return 0;
}

const struct consumer consumer = {
	.read = read_jpeg, .write = write_jpeg,
	.at_cut = REFUSED | CUT,
};
