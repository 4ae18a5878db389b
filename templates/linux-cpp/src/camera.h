#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "picture.h"

// A camera that gives YUYV frames through Video4Linux2.
class Camera {
 public:
  // Opens a device such as /dev/video0. Throws std::runtime_error where it is none, or gives no YUYV.
  Camera(const std::string& device, int width, int height);
  Camera(const Camera&) = delete;
  Camera& operator=(const Camera&) = delete;
  ~Camera();

  // The next frame, in RGB. Throws std::runtime_error where the camera is gone.
  Picture frame();

 private:
  struct Buffer {
    void* start;
    std::size_t length;
  };

  void ask(unsigned long request, void* argument, const char* doing) const;
  void close_all();

  std::string device_;
  int file_ = -1;
  int width_ = 0;
  int height_ = 0;
  int row_bytes_ = 0;
  std::vector<Buffer> buffers_;
};
