#pragma once

#include <cstdint>
#include <string>
#include <vector>

// An 8-bit picture, row by row: grey (1 channel) or RGB (3).
struct Picture {
  int width = 0;
  int height = 0;
  int channels = 0;
  std::vector<std::uint8_t> pixels;
};

// The picture in a JPEG, PNG, PPM or PGM file: turned upright by its EXIF entry, transparency laid on white.
// Throws std::runtime_error with a sentence where it cannot be read.
Picture read_picture(const std::string& path);

// `picture` in one channel, or in three.
Picture with_channels(const Picture& picture, int channels);

// `picture` turned and mirrored as an EXIF orientation says, 1 to 8.
Picture upright(const Picture& picture, int orientation);

// A value and its opacity, laid on white.
std::uint8_t on_white(int value, int opacity);

// A frame in YUYV (two pixels in four bytes: Y0 U Y1 V), full range BT.601, as RGB.
Picture from_yuyv(const std::uint8_t* bytes, int width, int height, int row_bytes);
