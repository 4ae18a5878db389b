#include "camera.h"

#include <fcntl.h>
#include <linux/videodev2.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace {

constexpr unsigned kBuffers = 3;

}  // namespace

Camera::Camera(const std::string& device, int width, int height) : device_(device) {
  file_ = open(device.c_str(), O_RDWR | O_CLOEXEC);
  if (file_ < 0) throw std::runtime_error(device + " cannot be opened: " + std::strerror(errno));
  try {
    v4l2_format format{};
    format.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    format.fmt.pix.width = static_cast<unsigned>(width);
    format.fmt.pix.height = static_cast<unsigned>(height);
    format.fmt.pix.pixelformat = V4L2_PIX_FMT_YUYV;
    ask(VIDIOC_S_FMT, &format, "setting the format");
    if (format.fmt.pix.pixelformat != V4L2_PIX_FMT_YUYV) throw std::runtime_error(device + " gives no YUYV frames");
    width_ = static_cast<int>(format.fmt.pix.width);
    height_ = static_cast<int>(format.fmt.pix.height);
    row_bytes_ = static_cast<int>(format.fmt.pix.bytesperline);
    v4l2_requestbuffers wanted{};
    wanted.count = kBuffers;
    wanted.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    wanted.memory = V4L2_MEMORY_MMAP;
    ask(VIDIOC_REQBUFS, &wanted, "asking for buffers");
    for (unsigned n = 0; n < wanted.count; ++n) {
      v4l2_buffer buffer{};
      buffer.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
      buffer.memory = V4L2_MEMORY_MMAP;
      buffer.index = n;
      ask(VIDIOC_QUERYBUF, &buffer, "asking for a buffer");
      void* start = mmap(nullptr, buffer.length, PROT_READ | PROT_WRITE, MAP_SHARED, file_, buffer.m.offset);
      if (start == MAP_FAILED) throw std::runtime_error(device + ": a buffer cannot be mapped");
      buffers_.push_back({start, buffer.length});
      ask(VIDIOC_QBUF, &buffer, "handing a buffer over");
    }
    int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    ask(VIDIOC_STREAMON, &type, "starting");
  } catch (...) {
    close_all();
    throw;
  }
}

Camera::~Camera() {
  int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  ioctl(file_, VIDIOC_STREAMOFF, &type);
  close_all();
}

Picture Camera::frame() {
  v4l2_buffer buffer{};
  buffer.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  buffer.memory = V4L2_MEMORY_MMAP;
  ask(VIDIOC_DQBUF, &buffer, "waiting for a frame");
  Picture found =
      from_yuyv(static_cast<const std::uint8_t*>(buffers_.at(buffer.index).start), width_, height_, row_bytes_);
  ask(VIDIOC_QBUF, &buffer, "handing a buffer back");
  return found;
}

void Camera::ask(unsigned long request, void* argument, const char* doing) const {
  int given = 0;
  do {
    given = ioctl(file_, request, argument);
  } while (given < 0 && errno == EINTR);
  if (given < 0) throw std::runtime_error(device_ + ": " + doing + " failed: " + std::strerror(errno));
}

void Camera::close_all() {
  for (const Buffer& each : buffers_) munmap(each.start, each.length);
  buffers_.clear();
  close(file_);
}
