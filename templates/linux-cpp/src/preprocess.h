#pragma once

#include "contract.h"
#include "picture.h"
#include "tensor.h"

// `picture` resized and cropped or padded to the contract's size, 8 bits a value.
Picture framed(const Picture& picture, const contract::Image& wanted);

// What the model takes for a picture that `framed` gave.
Tensor prepared(const Picture& frame, const contract::Image& wanted);

// The mean of a frame's values, 0 to 255.
double mean(const Picture& frame);
