#pragma once

#include <string>
#include <vector>

// The samples of a .wav file (RIFF; PCM of 8, 16, 24 or 32 bits, or floats of 32), the mean of its channels, from -1 to 1.
// Its rate must be `rate`, in Hz: nothing is resampled. Throws std::runtime_error with a sentence.
std::vector<float> read_wav(const std::string& path, int rate);
