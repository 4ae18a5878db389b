#pragma once

#include "contract.h"
#include "picture.h"
#include "tensor.h"

// Where a picture lies in the model's: resized to a width and a height, its corner at (left, top).
struct Framing {
  int width;
  int height;
  int left;
  int top;
};

// Where a picture of a size lies; what is outside the model's picture is cut off.
Framing framing(int width, int height, const contract::Image& wanted);

// `picture` resized and cropped or padded to the contract's size, 8 bits a value.
Picture framed(const Picture& picture, const contract::Image& wanted);

// What the model takes for a picture that `framed` gave.
Tensor prepared(const Picture& frame, const contract::Image& wanted);

// The mean of a frame's values, 0 to 255.
double mean(const Picture& frame);
