#include "picture.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>

#ifdef APP_HAS_JPEG
#include <jpeglib.h>
#endif
#ifdef APP_HAS_PNG
#include <png.h>
#endif

namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(path + " cannot be read");
  return Bytes(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

std::size_t values(const Picture& picture) {
  return static_cast<std::size_t>(picture.width) * static_cast<std::size_t>(picture.height) *
         static_cast<std::size_t>(picture.channels);
}

bool begins(const Bytes& bytes, const char* mark, std::size_t length) {
  return bytes.size() >= length && std::memcmp(bytes.data(), mark, length) == 0;
}

// A number of a PPM's head, which ends with one white space.
int head_number(const Bytes& bytes, std::size_t& place) {
  while (place < bytes.size() && (std::isspace(bytes[place]) != 0 || bytes[place] == '#')) {
    if (bytes[place] == '#')
      while (place < bytes.size() && bytes[place] != '\n') ++place;
    else
      ++place;
  }
  int found = 0;
  bool any = false;
  for (; place < bytes.size() && std::isdigit(bytes[place]) != 0 && found < 100000000; ++place, any = true)
    found = 10 * found + (bytes[place] - '0');
  if (!any) throw std::runtime_error("its head is damaged");
  return found;
}

Picture read_pnm(const Bytes& bytes) {
  std::size_t place = 2;
  Picture found;
  found.channels = bytes[1] == '6' ? 3 : 1;
  found.width = head_number(bytes, place);
  found.height = head_number(bytes, place);
  if (head_number(bytes, place) != 255) throw std::runtime_error("it has not 8 bits a value");
  ++place;
  if (found.width == 0 || found.height == 0 || bytes.size() < place + values(found))
    throw std::runtime_error("it ends too early");
  const auto first = bytes.begin() + static_cast<std::ptrdiff_t>(place);
  found.pixels.assign(first, first + static_cast<std::ptrdiff_t>(values(found)));
  return found;
}

#ifdef APP_HAS_JPEG

struct JpegErrors {
  jpeg_error_mgr base;
  std::jmp_buf back;
  char text[JMSG_LENGTH_MAX];
};

void jpeg_failed(j_common_ptr state) {
  auto* errors = reinterpret_cast<JpegErrors*>(state->err);
  (*state->err->format_message)(state, errors->text);
  std::longjmp(errors->back, 1);
}

void jpeg_said(j_common_ptr) {}

unsigned two_bytes(const JOCTET* at, bool little) {
  return little ? unsigned(at[0]) | unsigned(at[1]) << 8 : unsigned(at[0]) << 8 | unsigned(at[1]);
}

// The orientation in an EXIF block (Exif 2.32, tag 0x0112 of the first image file directory); 1 where none is.
int orientation_in(const JOCTET* data, std::size_t length) {
  if (length < 14 || std::memcmp(data, "Exif\0\0", 6) != 0) return 1;
  const JOCTET* tiff = data + 6;
  const std::size_t size = length - 6;
  const bool little = tiff[0] == 'I';
  const std::size_t directory = two_bytes(tiff + (little ? 4 : 6), little);
  if (directory + 2 > size) return 1;
  const unsigned entries = two_bytes(tiff + directory, little);
  for (unsigned n = 0; n < entries && directory + 14 + 12 * n <= size; ++n) {
    const JOCTET* entry = tiff + directory + 2 + 12 * n;
    if (two_bytes(entry, little) == 0x0112) {
      const unsigned found = two_bytes(entry + 8, little);
      return found >= 1 && found <= 8 ? static_cast<int>(found) : 1;
    }
  }
  return 1;
}

// What longjmp passes over must need no destructor: the bytes go to a buffer of the caller's.
bool decode_jpeg(const Bytes& bytes, Picture& found, int& orientation, JpegErrors& errors) {
  jpeg_decompress_struct state;
  state.err = jpeg_std_error(&errors.base);
  errors.base.error_exit = jpeg_failed;
  errors.base.output_message = jpeg_said;
  jpeg_create_decompress(&state);
  if (setjmp(errors.back) != 0) {
    jpeg_destroy_decompress(&state);
    return false;
  }
  jpeg_mem_src(&state, const_cast<unsigned char*>(bytes.data()), static_cast<unsigned long>(bytes.size()));
  jpeg_save_markers(&state, JPEG_APP0 + 1, 0xFFFF);
  jpeg_read_header(&state, TRUE);
  state.out_color_space = state.num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_start_decompress(&state);
  found.width = static_cast<int>(state.output_width);
  found.height = static_cast<int>(state.output_height);
  found.channels = state.output_components;
  found.pixels.resize(values(found));
  const std::size_t row = static_cast<std::size_t>(found.width) * static_cast<std::size_t>(found.channels);
  while (state.output_scanline < state.output_height) {
    JSAMPROW line = found.pixels.data() + state.output_scanline * row;
    jpeg_read_scanlines(&state, &line, 1);
  }
  orientation = 1;
  for (auto* marker = state.marker_list; marker != nullptr && orientation == 1; marker = marker->next)
    orientation = orientation_in(marker->data, marker->data_length);
  jpeg_finish_decompress(&state);
  jpeg_destroy_decompress(&state);
  return true;
}

Picture read_jpeg(const Bytes& bytes) {
  Picture found;
  JpegErrors errors{};
  int orientation = 1;
  if (!decode_jpeg(bytes, found, orientation, errors)) throw std::runtime_error(errors.text);
  return upright(found, orientation);
}

#else

Picture read_jpeg(const Bytes&) {
  throw std::runtime_error("this build reads no JPEG: install libjpeg's headers and build again");
}

#endif

#ifdef APP_HAS_PNG

Picture read_png(const Bytes& bytes) {
  png_image head{};
  head.version = PNG_IMAGE_VERSION;
  if (png_image_begin_read_from_memory(&head, bytes.data(), bytes.size()) == 0)
    throw std::runtime_error(head.message);
  head.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;  // else libpng takes values of 16 bits for linear light
  const bool clear = (head.format & PNG_FORMAT_FLAG_ALPHA) != 0;
  const bool grey = (head.format & PNG_FORMAT_FLAG_COLOR) == 0 && !clear;
  head.format = clear ? PNG_FORMAT_RGBA : grey ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  Bytes raw(PNG_IMAGE_SIZE(head));
  if (png_image_finish_read(&head, nullptr, raw.data(), 0, nullptr) == 0) throw std::runtime_error(head.message);
  Picture found;
  found.width = static_cast<int>(head.width);
  found.height = static_cast<int>(head.height);
  found.channels = grey ? 1 : 3;
  if (!clear) {
    found.pixels = std::move(raw);
    return found;
  }
  for (std::size_t n = 0; n < raw.size(); n += 4)
    for (std::size_t c = 0; c < 3; ++c) found.pixels.push_back(on_white(raw[n + c], raw[n + 3]));
  return found;
}

#else

Picture read_png(const Bytes&) {
  throw std::runtime_error("this build reads no PNG: install libpng's headers and build again");
}

#endif

}  // namespace

Picture read_picture(const std::string& path) {
  const Bytes bytes = content(path);
  try {
    if (begins(bytes, "P5", 2) || begins(bytes, "P6", 2)) return read_pnm(bytes);
    if (begins(bytes, "\xFF\xD8", 2)) return read_jpeg(bytes);
    if (begins(bytes, "\x89PNG", 4)) return read_png(bytes);
  } catch (const std::runtime_error& cause) {
    throw std::runtime_error(path + ": " + cause.what());
  }
  throw std::runtime_error(path + " is no JPEG, PNG, PPM or PGM");
}

Picture with_channels(const Picture& picture, int channels) {
  if (picture.channels == channels) return picture;
  Picture found{picture.width, picture.height, channels, {}};
  found.pixels.reserve(values(found));
  if (channels == 3) {
    for (std::uint8_t each : picture.pixels) found.pixels.insert(found.pixels.end(), 3, each);
    return found;
  }
  for (std::size_t n = 0; n < picture.pixels.size(); n += 3) {
    const int sum = 19595 * picture.pixels[n] + 38470 * picture.pixels[n + 1] + 7471 * picture.pixels[n + 2];
    found.pixels.push_back(static_cast<std::uint8_t>((sum + 32768) >> 16));
  }
  return found;
}

Picture upright(const Picture& picture, int orientation) {
  if (orientation <= 1 || orientation > 8) return picture;
  const bool turned = orientation >= 5;
  const int width = turned ? picture.height : picture.width;
  const int height = turned ? picture.width : picture.height;
  // of each orientation: whether the source is read from the right, and from below
  constexpr std::array<bool, 9> kRight{false, false, true, true, false, false, false, true, true};
  constexpr std::array<bool, 9> kBelow{false, false, false, true, true, false, true, true, false};
  const auto kind = static_cast<std::size_t>(orientation);
  Picture found{width, height, picture.channels, Bytes(picture.pixels.size())};
  const auto depth = static_cast<std::size_t>(picture.channels);
  std::size_t goal = 0;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x, goal += depth) {
      int from_x = turned ? y : x;
      int from_y = turned ? x : y;
      if (kRight[kind]) from_x = picture.width - 1 - from_x;
      if (kBelow[kind]) from_y = picture.height - 1 - from_y;
      const std::size_t from = depth * (static_cast<std::size_t>(from_y) * static_cast<std::size_t>(picture.width) +
                                        static_cast<std::size_t>(from_x));
      std::copy_n(picture.pixels.begin() + static_cast<std::ptrdiff_t>(from), depth,
                  found.pixels.begin() + static_cast<std::ptrdiff_t>(goal));
    }
  }
  return found;
}

std::uint8_t on_white(int value, int opacity) {
  const int sum = 128 * (value * opacity + 255 * (255 - opacity)) + 16384;
  return static_cast<std::uint8_t>((((sum >> 8) + sum) >> 8) >> 7);
}

Picture from_yuyv(const std::uint8_t* bytes, int width, int height, int row_bytes) {
  const auto kept = [](int value) { return static_cast<std::uint8_t>(std::clamp(value, 0, 255)); };
  Picture found{width, height, 3, {}};
  found.pixels.reserve(values(found));
  for (int y = 0; y < height; ++y) {
    const std::uint8_t* row = bytes + static_cast<std::ptrdiff_t>(y) * row_bytes;
    for (int x = 0; x < width; ++x) {
      const std::uint8_t* pair = row + 4 * (x / 2);
      const int light = row[2 * x], u = pair[1] - 128, v = pair[3] - 128;
      found.pixels.push_back(kept(light + ((91881 * v + 32768) >> 16)));
      found.pixels.push_back(kept(light - ((22554 * u + 46802 * v + 32768) >> 16)));
      found.pixels.push_back(kept(light + ((116130 * u + 32768) >> 16)));
    }
  }
  return found;
}
