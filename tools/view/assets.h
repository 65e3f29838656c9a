/* assets.h: files that the program carries in itself: pages, styles, scripts in assets/ below a
 * room of tools, the recipe and the scales of the paper. The Makefile makes an object of each
 * (%.asset.o); FILE.ext becomes the text asset_FILE_ext, which ends with a zero byte. */
#ifndef PRLX_ASSETS_H
#define PRLX_ASSETS_H
extern const char *const asset_report_html, *const asset_report_css;
extern const char *const asset_chart_css, *const asset_chart_dark_css;
extern const char *const asset_reader_html, *const asset_reader_css, *const asset_reader_js;
extern const char *const asset_recipe_txt, *const asset_scales_tsv, *const asset_PLAN_md;
#endif
