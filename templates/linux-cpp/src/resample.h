#pragma once

#include "contract.h"
#include "picture.h"

// `picture` in another size, along its width first, in Pillow's fixed-point arithmetic: the same bits everywhere.
Picture resized(const Picture& picture, int width, int height, contract::Filter filter, bool antialias);
